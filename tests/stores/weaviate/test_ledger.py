"""A sync need not read the index: the server's sums prove the ledger, or the index is read.

A wrong ledger never deletes or skips: whatever is done to it, a scan tells what the server holds.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import grpc
import polars as pl
import pytest

from semilayer_pipelines.errors import StoreUnavailable
from semilayer_pipelines.stores.protocol import KEY, Index
from semilayer_pipelines.stores.weaviate import ledger as ledgers
from tests.stores.objects import ONE_FIELD, names, objects
from tests.stores.weaviate.doubled import changed, collection_of, known, opened, write
from tests.weaviate_double.faults import Kind
from tests.weaviate_double.server import Double

ROWS = 30
LEDGER = Path("ledgers", "Development_lens_g1")


@pytest.fixture
def index(double: Double, tmp_path: Path) -> Index:
    index = opened(double, tmp_path).create("lens-g1", ONE_FIELD)
    with index.lock():
        index.add(objects(names(ROWS)))
    return index


def held(double: Double) -> dict[str, str]:
    """Return what the server holds: by key the hash of its row."""
    stored = collection_of(double).objects.values()
    return {each.properties["_key"]: each.properties["_row_hash"] for each in stored}


def told(index: Index) -> dict[str, str]:
    return {key: (row or b"").hex() for key, (row, _) in known(index).items()}


def reads(double: Double, index: Index) -> int:
    """Return how many pages of objects a scan reads; what it tells must be what is held."""
    before = double.faults.calls.get("Search", 0)
    assert told(index) == held(double)
    return double.faults.calls.get("Search", 0) - before


def test_what_was_written_deleted_and_changed_is_known_without_reading_it(
    double: Double, index: Index
) -> None:
    assert reads(double, index) == 0
    write(index, changed(names(5), "another"))
    write(index, changed(names(2), "a third"))
    with index.lock():
        index.delete(names(5, start=10))
    assert len(told(index)) == ROWS - 5
    assert reads(double, index) == 0


def test_a_scan_of_a_shard_is_answered_by_the_ledger_too(double: Double, index: Index) -> None:
    write(index, objects(["elsewhere"], shard=7))
    before = double.faults.calls.get("Search", 0)
    found = [key for frame in index.scan(shard=7) for key in frame[KEY]]
    assert found == ["elsewhere"]
    assert double.faults.calls.get("Search", 0) == before


def test_another_process_of_the_machine_goes_on_with_the_ledger(
    double: Double, index: Index, tmp_path: Path
) -> None:
    write(opened(double, tmp_path).open("lens-g1"), changed(names(3), "another"))
    assert reads(double, index) == 0


def test_a_ledger_is_made_by_the_first_scan_of_another_machine(
    double: Double, index: Index, tmp_path: Path
) -> None:
    elsewhere = opened(double, tmp_path / "elsewhere").open("lens-g1")
    assert reads(double, elsewhere) > 0
    assert reads(double, elsewhere) == 0


def test_what_another_machine_wrote_is_read(double: Double, index: Index, tmp_path: Path) -> None:
    elsewhere = opened(double, tmp_path / "elsewhere").open("lens-g1")
    reads(double, elsewhere)
    write(index, changed(names(1), "another"))
    assert reads(double, elsewhere) > 0
    with elsewhere.lock():
        elsewhere.delete(names(1, start=9))
    assert reads(double, index) > 0
    assert reads(double, index) == 0


def test_a_scan_that_is_given_up_leaves_no_ledger(
    double: Double, index: Index, tmp_path: Path
) -> None:
    elsewhere = opened(double, tmp_path / "elsewhere").open("lens-g1")
    scan = elsewhere.scan()
    next(scan)
    scan.close()  # type: ignore[attr-defined]
    assert reads(double, elsewhere) > 0


def remove(folder: Path) -> None:
    shutil.rmtree(folder)


def remove_parts(folder: Path) -> None:
    for file in folder.rglob("*.part"):
        file.unlink()


def cut(folder: Path) -> None:
    for file in folder.rglob("*"):
        if file.is_file():
            file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def foreign(folder: Path) -> None:
    for file in folder.rglob("*.part"):
        file.write_text("nothing of ours")


def newer(folder: Path) -> None:
    for file in folder.rglob("*.part"):
        pl.read_parquet(file).with_columns(_new=pl.lit(1)).write_parquet(file)


def other_types(folder: Path) -> None:
    for file in folder.rglob("*.part"):
        pl.read_parquet(file).with_columns(pl.col(KEY).hash()).write_parquet(file)


def unlike(folder: Path) -> None:
    """Let it say of each row what was never written."""
    for file in folder.rglob("*.part"):
        rows = pl.read_parquet(file)
        rows.with_columns(pl.col("_check_a") + 1, _row_hash=pl.lit(b"x" * 16)).write_parquet(file)


def shortened(folder: Path) -> None:
    for file in folder.rglob("*.part"):
        pl.read_parquet(file).head(3).write_parquet(file)


@pytest.mark.parametrize(
    "spoil", [remove, cut, foreign, newer, other_types, unlike, shortened], ids=lambda f: f.__name__
)
def test_a_spoilt_ledger_is_ignored_and_made_again(
    double: Double,
    index: Index,
    tmp_path: Path,
    spoil: Callable[[Path], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    spoil(tmp_path / LEDGER)
    with caplog.at_level(logging.INFO):
        assert reads(double, index) > 0
    assert not [each for each in caplog.records if each.exc_info]
    assert len([each for each in caplog.records if "ledger" in each.message.lower()]) <= 1
    assert reads(double, index) == 0


@pytest.mark.parametrize("spoil", [cut, foreign, newer], ids=lambda f: f.__name__)
def test_a_spoilt_base_is_ignored_too(
    double: Double, index: Index, tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    elsewhere = opened(double, tmp_path / "elsewhere").open("lens-g1")
    reads(double, elsewhere)
    for file in (tmp_path / "elsewhere" / LEDGER).rglob("*.parquet"):
        file.rename(file.with_suffix(".part"))
    spoil(tmp_path / "elsewhere" / LEDGER)
    for file in (tmp_path / "elsewhere" / LEDGER).rglob("*.base/*.part"):
        file.rename(file.with_suffix(".parquet"))
    assert reads(double, elsewhere) > 0
    assert reads(double, elsewhere) == 0


def test_a_ledger_of_before_is_not_believed(double: Double, index: Index, tmp_path: Path) -> None:
    """As when the project's folder is restored from a backup."""
    shutil.copytree(tmp_path / LEDGER, tmp_path / "backup")
    write(index, changed(names(3), "another"))
    with index.lock():
        index.delete(names(1, start=20))
    shutil.rmtree(tmp_path / LEDGER)
    shutil.copytree(tmp_path / "backup", tmp_path / LEDGER)
    assert reads(double, index) > 0
    assert reads(double, index) == 0


def test_a_server_that_was_restored_from_a_backup_is_read(double: Double, index: Index) -> None:
    part = collection_of(double)
    before = dict(part.objects)
    write(index, changed(names(3), "another"))
    part.objects.clear()
    for id_, stored in before.items():
        part.put(id_, stored)
    assert reads(double, index) > 0


def test_a_row_that_the_server_lost_is_noticed(double: Double, index: Index) -> None:
    part = collection_of(double)
    part.remove(next(iter(part.objects)))
    assert reads(double, index) > 0
    assert len(told(index)) == ROWS - 1


def test_a_writer_that_dies_before_it_notes_is_noticed(
    double: Double, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(ledgers.Ledger, "note", die)
    with pytest.raises(KeyboardInterrupt):
        write(index, changed(names(3), "another"))
    monkeypatch.undo()
    assert reads(double, index) > 0
    assert reads(double, index) == 0


def test_a_write_that_fails_half_way_is_noticed(double: Double, index: Index) -> None:
    double.faults.add("BatchDelete", Kind.STATUS, times=99, code=grpc.StatusCode.UNAVAILABLE)
    with pytest.raises(StoreUnavailable):
        write(index, changed(names(3), "another"))
    double.faults.waiting.clear()
    assert len([key for frame in index.scan() for key in frame[KEY]]) == ROWS + 3
    write(index, changed(names(3), "another"))
    assert reads(double, index) in (0, 1)


def test_many_parts_are_put_together_and_say_the_same(
    double: Double, index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledgers, "COMPACT_PARTS", 5)
    for number in range(40):
        write(index, changed(names(3, start=number % 20), f"text {number}"))
        if number % 7 == 0:
            with index.lock():
                index.delete(names(1, start=number % 25))
    files = list((tmp_path / LEDGER).rglob("*.*"))
    assert len(files) < 40
    assert reads(double, index) == 0


def test_what_a_killed_scan_left_is_removed_a_day_later(
    double: Double, index: Index, tmp_path: Path
) -> None:
    ledger = tmp_path / LEDGER
    old, young = (ledger / f"{'0' * 12}-{name}.new" for name in ("a" * 32, "b" * 32))
    for each in (old, young):
        each.mkdir()
        (each / "000001.parquet").touch()
    os.utime(old, (0, 0))
    remove_parts(ledger)
    assert reads(double, index) > 0
    assert not old.exists()
    assert young.exists()


def test_a_ledger_that_cannot_be_written_only_costs_the_next_scan(
    double: Double, index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    to_file = pl.DataFrame.write_parquet

    def full(frame: pl.DataFrame, *_: object) -> None:
        to_file(frame, "/dev/full")  # Polars has an error of its own for that

    monkeypatch.setattr(pl.DataFrame, "write_parquet", full)
    write(index, changed(names(3), "another"))
    assert reads(double, index) > 0
    monkeypatch.undo()
    assert reads(double, index) > 0
    assert reads(double, index) == 0


def test_a_dropped_index_leaves_no_ledger(double: Double, index: Index, tmp_path: Path) -> None:
    store = opened(double, tmp_path)
    store.drop("lens-g1")
    assert not (tmp_path / LEDGER).exists()
    again = store.create("lens-g1", ONE_FIELD)
    assert told(again) == {}
