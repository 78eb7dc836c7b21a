"""Source rows to mapped rows: fields, the text to embed, the hashes."""
