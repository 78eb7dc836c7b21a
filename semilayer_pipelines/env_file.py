"""The file `.env` of a project, read as `dagster dev` reads it: what is set already stays.

Every program of a project reads it when it starts, so that all of them see the same variables.
"""

from __future__ import annotations

from collections.abc import Mapping
from os.path import isfile
from pathlib import Path

from semilayer_pipelines.errors import ConfigError

__all__ = ["NAME", "with_env_file"]

NAME = ".env"


def with_env_file(environ: Mapping[str, str], folder: Path) -> dict[str, str]:
    """Return the variables of `environ` and, beneath them, those of the file in `folder`, if any.

    Raises `ConfigError` when the file cannot be read.
    """
    file = folder / NAME
    if not isfile(file):
        return dict(environ)
    from dotenv import dotenv_values

    try:
        values = dotenv_values(file, encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{file} cannot be read: {getattr(error, 'strerror', None) or 'it is not UTF-8'}.",
            cure="It holds a line NAME=value for each variable.",
        ) from None
    return {name: value for name, value in values.items() if value is not None} | dict(environ)
