#!/usr/bin/env bash
# Package: sentence-transformers 6.2.0 (with torch 2.13.0).
#
# Behaviour: a model has prompts under the names "query" and "passage". `encode_query` puts its
# prompt before a text. `encode_document` puts nothing there, and says nothing. The prompt "passage"
# is only used where a caller names it. The same model with the name "document" works.
#
# A good guess: `encode_document` uses "passage". Its docstring says that it takes the first of
# "document", "passage" and "corpus" that the model has. The class's own example of prompts is
# {"query": "query: ", "passage": "passage: "}, which are the names and texts of E5. But every model
# also gets an empty prompt "document" by default, which is found first.
#
# For a vector index in sync with SQL tables: rows are embedded without the prompt that the model
# was trained with, and questions with theirs. Searches find less, and nothing tells why.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install -q 'sentence-transformers==6.2.0' 'torch==2.13.0'

venv/bin/python -W ignore - <<'PY'
import numpy as np
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

# Each word has a dimension of its own, so a vector tells what was read.
WORDS = ["[UNK]", "query", "passage", ":", "my", "parcel"]


def model(prompts):
    tokenizer = Tokenizer(WordLevel({word: at for at, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    weights = np.eye(len(WORDS), dtype=np.float32)
    module = StaticEmbedding(tokenizer, embedding_weights=weights)
    return SentenceTransformer(modules=[module], prompts=prompts, device="cpu")


def read(vector):
    return [word for word, number in zip(WORDS, vector) if number]


passage = model({"query": "query: ", "passage": "passage: "})
document = model({"query": "query: ", "document": "passage: "})
query = read(passage.encode_query("my parcel"))
unnamed = read(passage.encode_document("my parcel"))
named = read(passage.encode("my parcel", prompt_name="passage"))
other_name = read(document.encode_document("my parcel"))

print("prompts of the model:         ", passage.prompts)
print("encode_query:                 ", query)
print("encode_document:              ", unnamed)
print("encode, prompt_name='passage':", named)
print("encode_document, 'document':  ", other_name)

assert query == ["query", ":", "my", "parcel"], "encode_query changed"
assert unnamed == ["my", "parcel"], "encode_document uses the prompt 'passage' now"
assert named == ["passage", ":", "my", "parcel"], "a named prompt changed"
assert other_name == named, "encode_document with 'document' changed"
PY
