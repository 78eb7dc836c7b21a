#!/usr/bin/env bash
# Package: llama-index-core 0.14.25.
#
# Behaviour: a pipeline reads two rows of one text, a call each. The chunk of the second row gets
# the first row's document id, because the cache finds chunks by their text. When the first row
# changes, the pipeline deletes that chunk. No chunk of the second row is left, and reading it
# again skips it as unchanged. In one call, or with `disable_cache`, both rows are kept.
#
# A good guess: a cache changes the time that a call takes, not its result. The page "Ingestion
# Pipeline" says that the cached result of a node and a transformation can "save you time". Of
# documents it says that they are told apart by `doc_id`.
#
# For a vector index in sync with SQL tables: rows with equal texts are usual, and a follower hands
# over one row at a time. Such a row is in no search, while the docstore says that it is stored.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install -q 'llama-index-core==0.14.25'

venv/bin/python - <<'PY'
from llama_index.core import Document, MockEmbedding
from llama_index.core.ingestion import IngestionPipeline
from llama_index.core.node_parser import SentenceSplitter
from llama_index.core.storage.docstore import SimpleDocumentStore
from llama_index.core.vector_stores import SimpleVectorStore

FIRST = Document(id_="row 1", text="green tea")
SECOND = Document(id_="row 2", text="green tea")
CHANGED = Document(id_="row 1", text="black tea")


def stored(calls, **settings):
    """Return the rows with a chunk after each call, and the rows that the docstore knows."""
    pipeline = IngestionPipeline(
        transformations=[SentenceSplitter(), MockEmbedding(embed_dim=2)],
        docstore=SimpleDocumentStore(),
        vector_store=SimpleVectorStore(),
        **settings,
    )
    rows = []
    for documents in calls:
        pipeline.run(documents=[document.model_copy(deep=True) for document in documents])
        rows.append(sorted(pipeline.vector_store.data.text_id_to_ref_doc_id.values()))
    return rows, sorted(pipeline.docstore.get_all_document_hashes().values())


apart = [[FIRST], [SECOND], [CHANGED], [SECOND]]
cached, known = stored(apart)
uncached, _ = stored(apart, disable_cache=True)
together, _ = stored([[FIRST, SECOND], [CHANGED], [SECOND]])
print(f"a row a call:           {cached}")
print(f"known to the docstore:  {known}")
print(f"without the cache:      {uncached}")
print(f"both rows in one call:  {together}")

both = ["row 1", "row 2"]
assert cached == [["row 1"]] * 4, "the second row has a chunk of its own"
assert known == both, "what the docstore knows changed"
assert uncached == [["row 1"], both, both, both], "the calls without the cache changed"
assert together == [both] * 3, "the call with both rows changed"
PY
