"""What a command puts off or leaves out when it imports is there for whoever asks."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from semilayer_pipelines.quick_imports import with_one_blas_thread

ROOT = Path(__file__).resolve().parents[1]
PUT_OFF = """
import sys
import threading
from semilayer_pipelines.quick_imports import later

with later("pyarrow.dataset"):
    import pyarrow.dataset
    import pyarrow
assert "pyarrow.dataset" not in sys.modules, "put off"

found = []
threads = [threading.Thread(target=lambda: found.append(pyarrow.dataset.Dataset)) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()

import pyarrow.dataset as whole
assert found == [whole.Dataset] * 4, "asked for by several at once, it is imported once"
with later("pyarrow.dataset"):
    pass
assert pyarrow.dataset is whole is sys.modules["pyarrow.dataset"], "left as it is"
"""
ASKED_WITHIN = """
import sys
from semilayer_pipelines.quick_imports import later

with later("pyarrow.dataset"):
    import pyarrow.dataset as early
    assert early.Dataset.__name__ == "Dataset"
import pyarrow
assert pyarrow.dataset is sys.modules["pyarrow.dataset"]
assert pyarrow.dataset.Dataset is early.Dataset
"""


@pytest.mark.parametrize("code", [PUT_OFF, ASKED_WITHIN], ids=["after", "within"])
def test_a_module_that_was_put_off_is_there_when_it_is_asked_for(code: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("before", [None, "7"])
def test_processes_that_a_command_starts_have_as_many_threads_as_they_like(
    before: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    if before is not None:
        monkeypatch.setenv("OPENBLAS_NUM_THREADS", before)

    with with_one_blas_thread():
        assert os.environ["OPENBLAS_NUM_THREADS"] == "1"

    assert os.environ.get("OPENBLAS_NUM_THREADS") == before


HTTPX = """
import sys
from semilayer_pipelines.quick_imports import import_httpx

import_httpx()
assert "pygments" not in sys.modules
import httpx
assert httpx.URL("http://127.0.0.1/").host == "127.0.0.1"
import httpx._main
assert "pygments" in sys.modules, "whoever asks for it has it"
"""


def test_httpx_works_without_its_command() -> None:
    done = subprocess.run(
        [sys.executable, "-c", HTTPX], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
