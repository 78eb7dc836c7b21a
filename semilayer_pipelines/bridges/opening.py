"""From a source's configuration to its bridge, with secrets taken from the environment.

The resolved connection string lives in the bridge only; it is never logged, stored or put into a
message.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from semilayer_pipelines.bridges.protocol import Bridge
from semilayer_pipelines.config.models import Bridge as BridgeKind
from semilayer_pipelines.config.models import SourceConfig
from semilayer_pipelines.config.variables import filled

__all__ = ["open_bridge", "resolved"]


def open_bridge(
    config: SourceConfig, *, name: str, environ: Mapping[str, str], folder: Path = Path()
) -> Bridge:
    """Return the bridge of the source called `name`; connects when it is first used.

    `${VAR}` and `${VAR:-default}` in the connection come from `environ`; the default also stands in
    for an empty variable. A relative path of a SQLite file begins in `folder`. Raises `ConfigError`
    for a variable that is missing or a connection that is no URL of a known database.
    """
    connection = resolved(config.connection, name, environ)
    match config.bridge:
        case BridgeKind.SQL:
            # Loads Polars' Arrow side and SQLAlchemy; not needed to read a configuration.
            from semilayer_pipelines.bridges.sql import SqlBridge

            return SqlBridge(connection, timeout_ms=config.timeout, name=name, folder=folder)


def resolved(connection: str, source: str, environ: Mapping[str, str]) -> str:
    """Return a connection with its variables filled in; raises `ConfigError` for a missing one."""
    return filled(connection, environ, where=f"source {source!r}")
