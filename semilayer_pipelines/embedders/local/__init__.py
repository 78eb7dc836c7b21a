"""Running a sentence-transformers model on this machine."""
