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
    "sqlalchemy.dialects.postgresql",
}
ALSO_HEAVY = {
    # Of an index that was counted it tells what was kept; the others look into it.
    "status": {
        *("lancedb", "pyarrow", "polars", "numpy", "alembic"),
        *("tokenizers", "adbc_driver_sqlite", "resiliparse", "ruamel"),
    },
    # Of an index that was counted it compares the schema that was kept.
    "push --dry-run": {
        *("lancedb", "pyarrow.dataset", "alembic", "rich"),
        *("tokenizers", "unicode_segmentation_rs"),
    },
    "search items flow": {"adbc_driver_sqlite", "ruamel", "alembic", "rich"},
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
    imported = imported_by(indexed, command)

    assert "semilayer_pipelines.project" in imported
    assert sorted(imported & (HEAVY | ALSO_HEAVY[command])) == []


@pytest.mark.parametrize("command", ["status", "push --dry-run"])
def test_lancedb_is_not_imported_before_there_is_an_index(folder: Folder, command: str) -> None:
    assert folder.run("push").exit_code == 0

    imported = imported_by(folder, command)

    assert "semilayer_pipelines.stores.open" in imported
    assert "lancedb" not in imported


def imported_by(folder: Folder, command: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", RUN, *command.split()],
        cwd=folder.path,
        env=folder.full_environ,
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stderr.splitlines()[-1].split())
