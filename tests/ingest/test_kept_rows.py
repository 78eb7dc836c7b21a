"""What a walk saw is kept until the next one, and is used as it was written or not at all."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from semilayer_pipelines.ingest.kept_rows import (
    KEPT_SCHEMA,
    forget_kept,
    new_kept,
    open_kept,
    tidy_kept,
)
from semilayer_pipelines.ingest.key_hashes import KeyHashes


def rows(*keys: str) -> pl.DataFrame:
    told = [(key, b"r" * 16, None if key == "textless" else b"t" * 16, None) for key in keys]
    return pl.DataFrame(told, schema=KEPT_SCHEMA, orient="row")


def write(folder: Path, *keys: str) -> tuple[str, str]:
    with new_kept(folder) as kept:
        for key in keys:
            kept.add(rows(key))
        done = kept.finish()
    assert done is not None
    return done


@pytest.mark.parametrize("keys", [(), ("a", "textless", "日本")])
def test_rows_come_back_as_they_were_seen(tmp_path: Path, keys: tuple[str, ...]) -> None:
    name, digest = write(tmp_path / "walks", *keys)

    with open_kept(tmp_path / "walks", name, digest) as found:
        assert found is not None
        for _ in range(2):  # they are read more than once
            assert_frame_equal(pl.concat([rows(), *found.frames()]), rows(*keys))


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
    for file in (f"{needed[0]}.parquet", f"{old[0]}.parquet", other.name):
        os.utime(tmp_path / file, (0, 0))

    tidy_kept(tmp_path, {needed[0]})

    assert {file.stem for file in tmp_path.iterdir()} == {needed[0], fresh[0]}
    forget_kept(tmp_path, needed[0])
    forget_kept(tmp_path, needed[0])  # gone already
    assert {file.stem for file in tmp_path.iterdir()} == {fresh[0]}


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
