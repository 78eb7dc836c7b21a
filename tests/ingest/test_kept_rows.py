"""What a walk saw is kept until the next one, and is used as it was written or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from semilayer_pipelines.bridges.protocol import KEY_HASH, KeySums
from semilayer_pipelines.ingest.kept_rows import (
    KEPT_SCHEMA,
    LATER_SHARE,
    Kept,
    forget_kept,
    new_kept,
    open_kept,
    tidy_kept,
)
from semilayer_pipelines.ingest.key_hashes import KeyHashes
from semilayer_pipelines.stores.protocol import KEY, ROW_HASH


def rows(*keys: str) -> pl.DataFrame:
    told = [(key, b"r" * 16, None if key == "textless" else b"t" * 16, None) for key in keys]
    return pl.DataFrame(told, schema=KEPT_SCHEMA, orient="row")


def other(*keys: str) -> pl.DataFrame:
    return rows(*keys).with_columns(pl.lit(b"other").alias(ROW_HASH))


def write(folder: Path, *keys: str) -> Kept:
    with new_kept(folder) as kept:
        for key in keys:
            kept.add(rows(key))
        done = kept.finish()
    assert done is not None
    return done


def write_changes(folder: Path, last: Kept, seen: pl.DataFrame, *gone: str) -> Kept:
    """Write what follows when these rows were seen as they are now, and others are gone."""
    out = KeyHashes()
    out.add(pl.Series([*seen[KEY], *gone]))
    with open_kept(folder, last) as found, new_kept(folder) as kept:
        assert found is not None
        kept.add(seen)
        kept.build_on(found, out)
        for some in found.frames():
            other = out.have(some[KEY])
            kept.carry(some.filter(~other), some[KEY].filter(other))
        done = kept.finish()
    assert done is not None
    return done


def read(folder: Path, kept: Kept) -> pl.DataFrame:
    with open_kept(folder, kept) as found:
        assert found is not None
        return pl.concat([rows(), *found.frames()]).sort(KEY)


@pytest.mark.parametrize("keys", [(), ("a", "textless", "日本")])
def test_rows_come_back_as_they_were_seen(tmp_path: Path, keys: tuple[str, ...]) -> None:
    kept = write(tmp_path / "walks", *keys)

    with open_kept(tmp_path / "walks", kept) as found:
        assert found is not None
        for _ in range(2):  # they are read more than once
            assert_frame_equal(pl.concat([rows(), *found.frames()]), rows(*keys))


NUMBERED = [f"{n:03}" for n in range(10 * LATER_SHARE)]


def test_a_few_changes_are_written_beside_the_rows_that_stay(tmp_path: Path) -> None:
    # given changes on changes: a row altered twice, one that went and came, one that came and went
    first = write(tmp_path, *NUMBERED)
    second = write_changes(tmp_path, first, other("000", "new"), "001", "002")
    third = write_changes(tmp_path, second, other("000", "001"), "new", "003")

    # then they come back as they were seen last
    assert_frame_equal(read(tmp_path, first), rows(*NUMBERED))
    came = pl.concat([other("000", "new"), rows(*NUMBERED[3:])])
    assert_frame_equal(read(tmp_path, second), came.sort(KEY))
    assert_frame_equal(read(tmp_path, third), pl.concat([other("000", "001"), rows(*NUMBERED[4:])]))

    # and the rows that stay were written once
    assert {kept.whole for kept in (second, third)} == {first}
    assert [len(kept.names.split()) for kept in (second, third)] == [2, 2]


def hashed(seen: pl.DataFrame) -> pl.DataFrame:
    """Give each key but the textless one a hash near the largest, so that no sum fits 64 bits."""
    given = pl.lit(2**62) + pl.col(KEY).str.len_bytes().cast(pl.Int64)
    return seen.with_columns(pl.when(pl.col(KEY) != "textless").then(given).alias(KEY_HASH))


def test_the_hashes_of_the_keys_add_up_exactly_with_and_without_changes(tmp_path: Path) -> None:
    with new_kept(tmp_path) as kept:
        kept.add(hashed(rows(*NUMBERED, "textless")))
        first = kept.finish()
    assert first is not None
    second = write_changes(tmp_path, first, hashed(other("000", "longer")), "001", "002")

    each, numbered = 2**62 + 3, len(NUMBERED)
    for kept_then, sums in (
        (first, KeySums(numbered, numbered * each)),
        (second, KeySums(numbered - 1, (numbered - 1) * each + 3)),
    ):
        with open_kept(tmp_path, kept_then) as found:
            assert found is not None
            assert found.key_sums == sums


def test_many_changes_have_all_rows_written_to_one_file(tmp_path: Path) -> None:
    kept, sizes = write(tmp_path, *NUMBERED), []
    for n in range(10):
        kept = write_changes(tmp_path, kept, other(NUMBERED[n]))
        sizes.append(len(kept.names.split()))
        now = pl.concat([other(*NUMBERED[: n + 1]), rows(*NUMBERED[n + 1 :])])
        assert_frame_equal(read(tmp_path, kept), now)

    # then both forms came by, and changes never pile up
    assert 1 in sizes
    assert 2 in sizes
    assert max(sizes) == 2


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("harm", [Path.unlink, lambda file: file.write_bytes(b"PAR1")])
def test_changes_without_their_rows_are_nothing_and_rows_without_their_changes(
    tmp_path: Path, which: int, harm: Callable[[Path], object]
) -> None:
    kept = write_changes(tmp_path, write(tmp_path, *NUMBERED), other("000"))
    harm(tmp_path / f"{kept.names.split()[which]}.parquet")

    with open_kept(tmp_path, kept) as found:
        assert found is None


def test_a_column_is_read_without_the_others(tmp_path: Path) -> None:
    kept = write_changes(tmp_path, write(tmp_path, *NUMBERED), other("000"), "001")

    with open_kept(tmp_path, kept) as found:
        assert found is not None
        hashes = pl.concat(found.frames(ROW_HASH)).sort(KEY)

    assert_frame_equal(hashes, read(tmp_path, kept).select(KEY, ROW_HASH))


def test_a_walk_that_ends_early_leaves_nothing(tmp_path: Path) -> None:
    with new_kept(tmp_path) as kept:
        kept.add(pl.concat([rows("a")] * 200_000))  # some of it is on disk by now

    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_fails_no_walk(tmp_path: Path) -> None:
    (tmp_path / "walks").write_text("in the way")

    with new_kept(tmp_path / "walks") as kept:
        kept.add(rows("a"))
        assert kept.finish() is None


def test_a_folder_that_goes_before_the_end_fails_no_walk(tmp_path: Path) -> None:
    folder = tmp_path / "walks"
    with new_kept(folder) as kept:
        kept.add(pl.concat([rows("a")] * 200_000))  # some of it is on disk by now
        shutil.rmtree(folder)

        assert kept.finish() is None


def test_files_that_nobody_needs_go_when_no_walk_can_be_at_work_on_them(tmp_path: Path) -> None:
    needed, old = write(tmp_path, "a"), write(tmp_path, "b")
    fresh, other = write(tmp_path, "c"), tmp_path / "left.new"
    other.write_bytes(b"half")
    for file in (f"{needed.names}.parquet", f"{old.names}.parquet", other.name):
        os.utime(tmp_path / file, (0, 0))

    tidy_kept(tmp_path, {needed.names})

    assert {file.stem for file in tmp_path.iterdir()} == {needed.names, fresh.names}
    forget_kept(tmp_path, {needed.names})
    forget_kept(tmp_path, {needed.names})  # gone already
    assert {file.stem for file in tmp_path.iterdir()} == {fresh.names}


def test_keys_are_told_apart_by_their_hashes() -> None:
    known = KeyHashes()
    assert not known
    assert known.have(pl.Series(["a"], dtype=pl.String)).to_list() == [False]
    known.add(pl.Series(["b", "a", "b"]))
    known.add(pl.Series([], dtype=pl.String))
    known.add(pl.Series(["d"]))

    assert known.have(pl.Series(["a", "b", "c", "d", "e"])).to_list() == [
        True,
        True,
        False,
        True,
        False,
    ]
    assert known.without(pl.Series(["c", "a"])).to_list() == ["c"]
