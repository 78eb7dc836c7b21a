"""What was counted is told without opening the index, and only as long as it is true."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from semilayer_pipelines.ingest.count_index import count_index
from semilayer_pipelines.stores.chunks.index import ChunkedIndex
from semilayer_pipelines.stores.chunks.store import ChunkedStore
from semilayer_pipelines.stores.lance.kept_facts import KeptFacts
from semilayer_pipelines.stores.lance.store import LanceStore
from tests.damage import LOST, UNREADABLE, Harm
from tests.stores.chunks.rows import SCHEMA, rows

NAME = "lens-1-g000001"
WRITES: dict[str, Callable[[ChunkedIndex], object]] = {
    "a row comes": lambda index: index.add(rows({"c": "short"})),
    "a row is written again": lambda index: index.upsert(rows({"a": "other"})),
    "a row goes": lambda index: index.delete(["a"]),
    "a row is cut otherwise": lambda index: index.upsert(rows({"b": ("one", "two")})),
}


@pytest.fixture
def kept(tmp_path: Path) -> KeptFacts:
    return KeptFacts(tmp_path / "development")


@pytest.fixture
def index(tmp_path: Path, kept: KeptFacts) -> ChunkedIndex:
    """An index of two rows, one of which is cut in three; it is counted."""
    made = ChunkedStore(LanceStore(tmp_path, "development")).create(NAME, SCHEMA)
    with made.lock():
        made.add(rows({"a": "short", "b": ("one", "two", "three")}))
    count_index(made, kept)
    return made


def table_of(kept: KeptFacts, tmp_path: Path) -> Path:
    return tmp_path / "development" / f"{NAME}.lance"


def test_what_was_counted_is_told(index: ChunkedIndex, kept: KeptFacts) -> None:
    assert kept.counts(NAME) == (index.count(), index.vectors()) == (2, 5)
    assert kept.schema(NAME) == index.schema


def test_a_schema_that_another_version_kept_is_not_told(
    index: ChunkedIndex, kept: KeptFacts, tmp_path: Path
) -> None:
    file = table_of(kept, tmp_path) / "held.json"
    told = json.loads(file.read_text())
    told["schema"]["unheard_of"] = True
    file.write_text(json.dumps(told))

    assert kept.schema(NAME) is None
    assert kept.counts(NAME) == (2, 5)


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES.keys())
def test_after_a_write_somebody_has_to_count(
    index: ChunkedIndex, kept: KeptFacts, write: Callable[[ChunkedIndex], object]
) -> None:
    with index.lock():
        write(index)

    assert (kept.counts(NAME), kept.schema(NAME)) == (None, None)
    assert count_index(index, kept) == kept.counts(NAME) == (index.count(), index.vectors())


@pytest.mark.parametrize("harm", (UNREADABLE | LOST).values(), ids=(UNREADABLE | LOST).keys())
@pytest.mark.parametrize("which", ["", "-chunks"])
def test_nothing_is_told_of_files_that_came_to_harm(
    index: ChunkedIndex, kept: KeptFacts, tmp_path: Path, harm: Harm, which: str
) -> None:
    harm(tmp_path / "development" / f"{NAME}{which}.lance")

    assert kept.counts(NAME) is None


def test_what_was_counted_before_a_write_is_not_told_after_it(
    index: ChunkedIndex, kept: KeptFacts
) -> None:
    # given a count that takes so long that somebody writes meanwhile
    token = index.content_token()
    with index.lock():
        index.add(rows({"c": "short"}))

    # when
    assert token is not None
    kept.keep(NAME, token, 2, 5, index.schema)

    # then
    assert kept.counts(NAME) is None


def test_upkeep_leaves_the_numbers_of_an_index_that_it_leaves_alone(
    index: ChunkedIndex, kept: KeptFacts
) -> None:
    index.maintain()
    assert kept.counts(NAME) == (2, 5)

    index.maintain(force=True)

    assert count_index(index, kept) == kept.counts(NAME) == (2, 5)


@pytest.mark.parametrize("text", ["", "[", "5", "[null, 2, 5]", '["?", 2, 5]', '["?"]', "\0"])
def test_a_file_that_was_not_written_whole_tells_nothing(
    index: ChunkedIndex, kept: KeptFacts, tmp_path: Path, text: str
) -> None:
    (table_of(kept, tmp_path) / "held.json").write_text(text)

    assert kept.counts(NAME) is None


def test_a_folder_that_cannot_be_written_is_counted_every_time(
    index: ChunkedIndex, kept: KeptFacts, tmp_path: Path
) -> None:
    # given what a folder without permission looks like, also to root
    file = table_of(kept, tmp_path) / "held.json"
    os.unlink(file)
    (file.parent / ".held.json").mkdir()

    assert count_index(index, kept) == (2, 5)
    assert kept.counts(NAME) is None


def test_the_numbers_go_with_their_index(
    index: ChunkedIndex, kept: KeptFacts, tmp_path: Path
) -> None:
    ChunkedStore(LanceStore(tmp_path, "development")).drop(NAME)

    assert kept.counts(NAME) is None
    assert not list((tmp_path / "development").iterdir())
