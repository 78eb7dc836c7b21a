"""A command imports what it uses: none waits seconds for libraries that it has no use for."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.cli.project import Folder

HEAVY = {
    *("torch", "transformers", "sentence_transformers", "openvino", "sklearn", "scipy", "pandas"),
    *("dagster", "starlette", "uvicorn", "httpx", "requests", "aiohttp", "huggingface_hub"),
    *("weaviate", "grpc", "psycopg", "pymysql", "prometheus_client", "nanotoken"),
}
ALSO_HEAVY = {
    # These look at an index that is there, which is a LanceDB's.
    "status": {"tokenizers", "adbc_driver_sqlite", "resiliparse", "ruamel"},
    "push --dry-run": set[str](),
    "search items flow": {"adbc_driver_sqlite", "ruamel"},
}
RUN = """
import sys
from semilayer_pipelines.cli.main import main
try:
    main()
finally:
    sys.stderr.write("\\n" + " ".join(sys.modules))
"""


@pytest.mark.parametrize("command", ALSO_HEAVY)
def test_a_command_that_embeds_nothing_imports_nothing_heavy(indexed: Folder, command: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", RUN, *command.split()],
        cwd=indexed.path,
        env=indexed.full_environ,
        capture_output=True,
        text=True,
        check=True,
    )

    imported = set(done.stderr.splitlines()[-1].split())
    assert "semilayer_pipelines.project" in imported
    assert sorted(imported & (HEAVY | ALSO_HEAVY[command])) == []
