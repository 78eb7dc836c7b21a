"""LanceDB is kept from holding much of an index, unless a person says otherwise."""

from __future__ import annotations

import os

import pytest

from semilayer_pipelines.stores.lance.memory import spare_lance_memory

SETTINGS = ["LANCE_DEFAULT_FRAGMENT_READAHEAD", "LANCE_SHUFFLE_BATCH_BYTES"]


@pytest.mark.parametrize("name", SETTINGS)
def test_what_a_person_set_for_lance_stays(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "33")

    spare_lance_memory()

    assert os.environ[name] == "33"


def test_lance_holds_little_of_an_index_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)

    spare_lance_memory()

    assert os.environ["LANCE_DEFAULT_FRAGMENT_READAHEAD"] == "1"
    assert os.environ["LANCE_SHUFFLE_BATCH_BYTES"] == str(8 * 2**20)
