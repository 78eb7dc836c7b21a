"""A registry that is migrated already, for tests that are about something else.

Every test has a registry of its own. To copy one costs a hundredth of what its migrations do;
`tests/registry/test_migrate.py` runs these.
"""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

from semilayer_pipelines.private_files import private_folder
from semilayer_pipelines.registry.database import Registry

__all__ = ["lay_registry"]

_SQLITE = "sqlite:///"


def lay_registry(url: str) -> None:
    """Put a registry without a row where `url` says, if that is a SQLite file that is not there."""
    path = Path(url.removeprefix(_SQLITE))
    if url.startswith(_SQLITE) and not path.exists():
        private_folder(path.parent)
        path.write_bytes(_migrated())
        path.chmod(0o600)


@cache
def _migrated() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "registry.db"
        Registry.open(f"{_SQLITE}{path}").close()
        return path.read_bytes()
