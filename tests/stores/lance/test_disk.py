"""A disk that is full or may not be written: said plainly, and nothing that was there is lost.

Runs as any user: a size limit on files everywhere, a tiny read-only file system where the kernel
lets a process mount one.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.stores.conftest import ROOT

_SETUP = """
import resource, signal, subprocess, sys
from pathlib import Path
from semilayer_pipelines.errors import StoreFull
from semilayer_pipelines.stores import open_store
from tests.stores.objects import ONE_FIELD, names, objects

folder = Path(sys.argv[1])

def refused(act, *words):
    try:
        act()
    except StoreFull as error:
        assert error.cure and all(word in str(error) for word in words), str(error)
    else:
        raise AssertionError("not refused")

def writing(verb, *args):
    with index.lock():
        getattr(index, verb)(*args)
"""

_FILE_LIMIT = (
    _SETUP
    + """
index = open_store("lancedb", folder, "development").create("a", ONE_FIELD)
writing("upsert", objects(names(10)))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
refused(lambda: writing("add", objects(names(20_000, 100))), "adding", "no room")
refused(lambda: writing("upsert", objects(names(20_000, 100))), "upserting", "no room")
assert index.count() == 10
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
writing("upsert", objects(names(20_000, 100)))
assert index.count() == 20_010
"""
)

_TINY = (
    _SETUP
    + """
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", folder], check=True)
store = open_store("lancedb", folder, "development")
store.check({"a": False})
index = store.create("a", ONE_FIELD)
writing("upsert", objects(names(10)))
refused(lambda: writing("upsert", objects(names(40_000, 100))), "no room")
assert index.count() == 10
subprocess.run(["mount", "-o", "remount,ro", folder], check=True)
refused(lambda: writing("upsert", objects(names(10))), "cannot be written")
refused(lambda: store.create("b", ONE_FIELD), "cannot be written")
refused(lambda: store.check({"b": False}), "cannot be written")
elsewhere = open_store("lancedb", folder / "not" / "made", "development")
refused(lambda: elsewhere.check({}), "cannot be written")
refused(lambda: store.drop("a"), "cannot be written")
refused(lambda: index.maintain(force=True), "cannot be written")
assert index.count() == 10 and index.get("key-000001") is not None
assert index.search([1.0] * 8, limit=3).height == 3
"""
)


def _run(code: str, folder: Path, *prefix: str) -> None:
    folder.mkdir()
    done = subprocess.run(
        [*prefix, sys.executable, "-c", code, str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_a_write_that_does_not_fit_is_store_full_and_can_be_made_up_for(tmp_path: Path) -> None:
    _run(_FILE_LIMIT, tmp_path / "limited")


def test_a_full_and_then_read_only_disk_is_store_full_and_can_still_be_read(tmp_path: Path) -> None:
    own_mounts = ("unshare", "--map-root-user", "--mount")
    try:
        probe = ("sh", "-c", 'mount -t tmpfs -o size=1m tmpfs "$0"', str(tmp_path))
        subprocess.run([*own_mounts, *probe], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this machine lets nobody mount a file system of his own")
    _run(_TINY, tmp_path / "tiny", *own_mounts)
