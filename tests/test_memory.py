"""Freed memory goes back to the system, unless a person said otherwise."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

# The first block lets glibc take large ones for usual, and small ones lie between the others.
FREED = """
from semilayer_pipelines.memory import spare_memory
spare_memory()
import numpy as np

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096

np.ones(8 << 20, np.uint8)
before, large, small = resident(), [], []
for _ in range(20):
    large.append(np.ones(6 << 20, np.uint8))
    small.append(bytes(3000))
large.clear()
print((resident() - before) >> 20)
"""

TUNED = {
    "GLIBC_TUNABLES": "glibc.malloc.mmap_threshold=33554432:glibc.malloc.trim_threshold=536870912"
}
KEEPING = {"MALLOC_MMAP_THRESHOLD_": str(32 << 20), "MALLOC_TRIM_THRESHOLD_": str(512 << 20)}


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator is that of Linux")
@pytest.mark.parametrize(("settings", "kept"), [({}, False), (KEEPING, True), (TUNED, True)])
def test_vectors_that_were_freed_go_back(settings: dict[str, str], kept: bool) -> None:
    environ = {name: value for name, value in os.environ.items() if "MALLOC" not in name}
    environ = environ | settings

    done = subprocess.run(
        [sys.executable, "-c", FREED], env=environ, capture_output=True, text=True, check=True
    )

    assert (int(done.stdout) > 60) == kept, done.stdout
