"""Weaviate: what was changed by hand is found out and written, and rows are asked for by vector."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from weaviate.classes.data import DataObject

from semilayer_pipelines.control import lifecycle
from semilayer_pipelines.control.verify import verify_lens
from semilayer_pipelines.counts import Counts
from semilayer_pipelines.queries.explain import explain
from semilayer_pipelines.queries.findings import Audit, Depth, Kind
from semilayer_pipelines.stores.weaviate.connection import connected
from semilayer_pipelines.stores.weaviate.ids import both_ids
from semilayer_pipelines.stores.weaviate.schema import VECTOR_NAME
from semilayer_pipelines.stores.weaviate.settings import WeaviateSettings
from tests.lab import ENV, Lab
from tests.workload import FIELDS

ROWS = 120
DEEP = Depth(deep=True)


@pytest.fixture
def lab(tmp_path: Path, environ: dict[str, str]) -> Iterator[Lab]:
    lab = Lab.at(tmp_path, rows=ROWS, environ=environ)
    yield lab
    store = lab.project.store(ENV)
    for name in store.names():
        store.drop(name)


def collection_of(lab: Lab, environ: dict[str, str]) -> Any:
    client = connected(WeaviateSettings.from_environ(environ), lab.folder)
    [name] = [n for n in client.collections.list_all() if n.startswith(environ["WEAVIATE_PREFIX"])]
    return client.collections.get(name)


def by_hand(
    lab: Lab, environ: dict[str, str], key: str, *, vector: Any = None, **properties: Any
) -> None:
    """Change an object in the collection, as a stranger would: no lock, no hashes."""
    collection = collection_of(lab, environ)
    everything = [told.name for told in collection.config.get().properties]
    found = [
        collection.query.fetch_object_by_id(id, include_vector=True, return_properties=everything)
        for id in both_ids([key])
    ]
    [held] = [each for each in found if each is not None]
    vectors = {VECTOR_NAME: vector or held.vector[VECTOR_NAME]}
    changed = DataObject({**held.properties, **properties}, uuid=held.uuid, vector=vectors)
    assert not collection.data.insert_many([changed]).has_errors


def copied(lab: Lab, environ: dict[str, str], key: str) -> None:
    """Put an object of the same values under an id of a stranger's own."""
    collection = collection_of(lab, environ)
    [held] = [
        each
        for id in both_ids([key])
        if (each := collection.query.fetch_object_by_id(id, include_vector=True)) is not None
    ]
    copy = DataObject(held.properties, uuid=uuid4(), vector=held.vector)
    assert not collection.data.insert_many([copy]).has_errors


def verified(lab: Lab, depth: Depth, *, heal: bool = False) -> Audit:
    return verify_lens(lab.project, lab.lens, depth, heal=heal)


def healed(lab: Lab) -> Counts:
    return lab.run(lifecycle.request_heal(lab.project, ENV, "items", rebuild=False)).counts


def test_altered_fields_and_vectors_are_found_out_and_written(
    lab: Lab, environ: dict[str, str]
) -> None:
    # given
    lab.full()
    assert verified(lab, DEEP).in_line
    other = [-number for number in lab.object_of("9")["_vector"]]  # type: ignore[attr-defined]
    by_hand(lab, environ, "4", price=-1.5)
    by_hand(lab, environ, "9", vector=other)

    # when
    found = verified(lab, DEEP, heal=True)

    # then
    assert found.found[Kind.ALTERED].count == 2
    assert found.altered == {"4": ("price",), "9": ("vector",)}
    counts = healed(lab)
    assert (counts.written, counts.reused, counts.embedded) == (2, 1, 1)
    assert verified(lab, Depth(deep=True, search=True)).in_line
    assert lab.audit().clean


def test_every_row_is_found_by_its_own_vector_with_tenants_too(lab: Lab) -> None:
    lab.push(tenant="category", fields=FIELDS)
    lab.full()

    found = verified(lab, Depth(search=True, deep=True))

    assert found.in_line
    assert found.looked.searched == found.looked.read == ROWS
    told = explain(lab.project, ENV, "items", "7").indexed
    assert told is not None
    assert not told.hidden


def test_a_copy_of_a_row_under_a_foreign_id_is_told_as_a_second_object_and_goes(
    lab: Lab, environ: dict[str, str]
) -> None:
    # given
    lab.full()
    assert verified(lab, Depth()).in_line
    copied(lab, environ, "7")

    # when, then
    found = verified(lab, Depth(), heal=True)
    assert found.found[Kind.DOUBLED].ids == ("7",)
    assert not found.in_line
    assert (healed(lab).written, lab.index.count()) == (1, ROWS)
    assert verified(lab, Depth()).in_line
