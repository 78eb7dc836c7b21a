"""Dagster's files beside a configuration: with them, its programs start in that folder."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from semilayer_pipelines.starter.new_file import not_written

__all__ = ["told_beside", "write_beside"]

_BESIDE = ("dagster.yaml", "workspace.yaml", "dg.toml")
"""What makes a folder one of Dagster's: its instance, its code location, and the same for `dg`."""


def write_beside(folder: Path) -> list[str]:
    """Write what makes the folder a Dagster project, unless it is there; return the names.

    Raises `ConfigError` for a folder that cannot be written to.
    """
    packaged = resources.files("semilayer_pipelines") / "project_files"
    missing = [name for name in _BESIDE if not (folder / name).exists()]
    try:
        for name in missing:
            (folder / name).write_bytes((packaged / name).read_bytes())
        if "dg.toml" in missing:
            # `dg` puts a person's own assets there, and wants it from the start.
            (folder / "defs").mkdir(exist_ok=True)
    except OSError as error:
        raise not_written(folder, error) from None
    return missing


def told_beside(names: list[str]) -> str:
    """Say which files were written."""
    return f"Wrote {', '.join(names)}, with which Dagster starts here: semilayer dev"
