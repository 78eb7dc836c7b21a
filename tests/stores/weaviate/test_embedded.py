"""An embedded server: ours stands in for the program that the client would download."""

from __future__ import annotations

import hashlib
import socket
import subprocess
import sys
import time
from pathlib import Path

from semilayer_pipelines.dev.supervisor import free_port
from tests.patience import PATIENCE_SECONDS
from tests.stores.conftest import ROOT

USE = """
import sys
from pathlib import Path
from semilayer_pipelines.stores import open_store
from tests.stores.objects import ONE_FIELD, objects
settings = {"WEAVIATE_URL": sys.argv[2], "WEAVIATE_GRPC_URL": sys.argv[3]}
index = open_store("weaviate", Path(sys.argv[1]), "development", environ=settings).create(
    "lens-g1", ONE_FIELD
)
with index.lock():
    index.upsert(objects(["a", "b"]))
print(index.count())
"""


def test_an_embedded_server_starts_from_its_file_and_ends_with_the_process(tmp_path: Path) -> None:
    # given a program where the client looks for the one of this version
    version = "v1.39.0"
    name = f"weaviate-{version}-{hashlib.sha256(version.encode()).hexdigest()}"
    program = tmp_path / "bin" / name
    program.parent.mkdir()
    # The client gives it --host HOST --port PORT, and GRPC_PORT in the environment.
    program.write_text(
        f'#!/bin/sh\ncd {ROOT}\nexec {sys.executable} -m tests.weaviate_double "$4" "$GRPC_PORT"\n'
    )
    program.chmod(0o755)
    port, grpc_port = free_port(), free_port()

    # when a process uses the store
    done = subprocess.run(
        [
            *(sys.executable, "-c", USE, str(tmp_path)),
            *(f"embedded:{port}", f"http://127.0.0.1:{grpc_port}"),
        ],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
    )

    # then it was served, and nothing is left running
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "2"
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)):
                return
        time.sleep(0.05)
    raise AssertionError("the server outlived the process that started it")
