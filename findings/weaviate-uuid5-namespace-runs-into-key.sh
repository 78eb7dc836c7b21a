#!/usr/bin/env bash
# Package: weaviate-client 4.23.1.
#
# Behaviour: `generate_uuid5(identifier, namespace)` joins the two texts without a mark between
# them. Row 11 of the table "shop" and row 1 of the table "shop1" would be "shop11" both ways.
# They get one UUID. The number 1 and the text "1" share one too, and so do None and "None".
#
# A good guess: a namespace keeps its identifiers apart from those of all others. The method's
# reference says that it allows to namespace the identifier. In RFC 9562 (UUID Version 5) a
# namespace has a fixed length, so it cannot run into the name.
#
# For a vector index in sync with SQL tables: with table or tenant as the namespace, two rows of
# one collection share an object. A deletion of one row takes the other's object away.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install -q 'weaviate-client==4.23.1'

venv/bin/python - <<'PY'
from weaviate.util import generate_uuid5

pairs = [
    ((11, "shop"), (1, "shop1")),
    ((1, "shop"), ("1", "shop")),
    ((None, "shop"), ("None", "shop")),
]
for one, other in pairs:
    same = generate_uuid5(*one) == generate_uuid5(*other)
    print(one, other, "same UUID:", same)
    assert same, "the UUIDs changed"
assert generate_uuid5(1, "shop") != generate_uuid5(2, "shop"), "all UUIDs are one"
PY
