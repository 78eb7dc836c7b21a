#!/usr/bin/env bash
# Package: tantivy 0.27.0.
#
# Behaviour: a document with a wrong type makes `commit` raise, here the integer 2 in a float field.
# After that the writer accepts further documents, and `commit` returns as always. No document is
# stored any more. Deletions still work, so a row that is deleted and added anew is gone. `rollback`
# brings the writer back to life, which neither the error nor a docstring says.
#
# A good guess: the commit after the failed one stores what was added since, or it raises too. The
# docstring of `IndexWriter.commit` says that all documents added since the last commit are
# published and persisted once it returns.
#
# For a vector index in sync with SQL tables: one row fails, the run goes on, and each later change
# deletes its row from the text index. Every commit reports success.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install -q 'tantivy==0.27.0'

venv/bin/python - <<'PY'
import tantivy

builder = tantivy.SchemaBuilder()
builder.add_text_field("key", stored=True, tokenizer_name="raw")
builder.add_float_field("price", stored=True, indexed=True)
index = tantivy.Index(builder.build())
writer = index.writer(num_threads=1)


def write(key, price):
    """Replace one row, commit, and tell what came of it."""
    writer.delete_documents_by_term("key", key)
    writer.add_document(tantivy.Document(key=key, price=price))
    try:
        writer.commit()
        outcome = "committed"
    except ValueError as error:
        outcome = f"ValueError: {error}"
    index.reload()
    searcher = index.searcher()
    hits = searcher.search(tantivy.Query.all_query(), limit=10).hits
    keys = sorted(searcher.doc(address)["key"][0] for _, address in hits)
    print(f"{key} at {price}: {outcome}, the index has {keys}")
    return outcome, keys


for key in ("a", "b", "c"):
    write(key, 1.5)
failed = write("d", 2)
replaced = write("a", 9.5)
new = write("e", 3.5)
writer.rollback()
print("rollback")
after = write("f", 4.5)

assert failed[0].startswith("ValueError") and failed[1] == ["a", "b", "c"], "the failure changed"
assert replaced == ("committed", ["b", "c"]), "a row replaced after the failure is stored"
assert new == ("committed", ["b", "c"]), "a row added after the failure is stored"
assert after == ("committed", ["b", "c", "f"]), "the writer after a rollback changed"
PY
