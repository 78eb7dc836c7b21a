"""Writing the first `sl.config.yaml` of a folder: only one that loads, and never over another."""

from __future__ import annotations

import os
from pathlib import Path

from semilayer_pipelines.config.load import load_config
from semilayer_pipelines.config.models import ProjectConfig
from semilayer_pipelines.errors import ConfigError, Refused
from semilayer_pipelines.project import CONFIG_NAME

__all__ = ["new_config_file", "not_written", "write_new"]


def new_config_file() -> Path:
    """Return where a command writes the configuration; raise `Refused` where one is already."""
    file = Path.cwd() / (os.environ.get("SEMILAYER_CONFIG") or CONFIG_NAME)
    if os.path.exists(file):
        raise _there(file)
    return file


def write_new(file: Path, text: str) -> ProjectConfig:
    """Write a configuration once it is known to load; return it.

    Raises `ConfigError` for a text that does not load and a folder that cannot be written to, and
    `Refused` where a file came meanwhile.
    """
    new = file.with_name(f"{file.name}.new")
    try:
        new.write_text(text, encoding="utf-8")
        config = load_config(new)
        with file.open("x", encoding="utf-8") as written:
            written.write(text)
    except FileExistsError:
        raise _there(file) from None
    except OSError as error:
        raise not_written(file.parent, error) from None
    finally:
        new.unlink(missing_ok=True)
    return config


def not_written(folder: Path, error: OSError) -> ConfigError:
    """Return the error that tells of a folder into which nothing can be written."""
    return ConfigError(
        f"Cannot write to {folder}: {error.strerror}.",
        cure="Work in a folder that this user may write to, on a disk with room.",
    )


def _there(file: Path) -> Refused:
    return Refused(f"{file.name} is there already.", cure="Edit it, or move it away first.")
