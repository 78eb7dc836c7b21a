#!/usr/bin/env bash
# Package: chonkie 1.7.0, with a WordPiece tokenizer (tokenizers 0.23.3) built in this script.
#
# Behaviour: `RecursiveChunker` cuts a long word by its token ids and decodes the pieces. The
# chunk then is not part of the document. It has small letters for capitals, "##" in front and
# "[UNK]" for a slash. Its offsets count the decoded letters, so one chunk starts behind the end.
#
# A good guess: `text[chunk.start_index : chunk.end_index] == chunk.text`. The reference of
# `chonkie.Chunk` calls both the index "in the original text".
#
# For a vector index in sync with SQL tables: the passage shown beside a hit is not what the row
# says, and "[UNK]" and "##j" are embedded as text. Rows with part numbers or paths meet it.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install -q 'chonkie==1.7.0' 'tokenizers==0.23.3'

venv/bin/python - <<'PY'
import string

from chonkie import RecursiveChunker
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

pieces = ["[UNK]", *string.ascii_lowercase, *(f"##{c}" for c in string.ascii_lowercase), "."]
vocabulary = {piece: number for number, piece in enumerate(pieces)}
tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
tokenizer.normalizer = normalizers.BertNormalizer()
tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
tokenizer.decoder = decoders.WordPiece()

text = "Order Nr.AB/CD/EF/GH/IJ/KL/MN done"
chunker = RecursiveChunker(tokenizer=tokenizer, chunk_size=8, min_characters_per_chunk=1)
chunks = chunker.chunk(text)
print(f"{text!r} has {len(text)} letters")
for chunk in chunks:
    there = text[chunk.start_index : chunk.end_index]
    print(f"{chunk.start_index:2} to {chunk.end_index:2}: chunk {chunk.text!r}, document {there!r}")

strangers = [chunk for chunk in chunks if chunk.text not in text]
assert len(strangers) == 3, "the chunks changed"
assert any("[UNK]" in chunk.text for chunk in strangers), "[UNK] is gone"
assert any(chunk.text.startswith("##") for chunk in strangers), "## is gone"
assert any(chunk.start_index > len(text) for chunk in chunks), "the offsets changed"
PY
