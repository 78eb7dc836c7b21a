"""Open the store a project asks for by name, importing nothing of the others."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from semilayer_pipelines.errors import ConfigError
from semilayer_pipelines.nearest import nearest

if TYPE_CHECKING:
    from semilayer_pipelines.stores.protocol import Store

__all__ = ["StoreKind", "open_store"]


class StoreKind(StrEnum):
    """The kinds of store there are."""

    LANCEDB = "lancedb"


def open_store(kind: str, directory: Path, env: str) -> Store:
    """Open the store of one environment; nothing is written before the first index is created.

    `directory` is where an embedded store keeps its files. Raises `ConfigError` for a kind that
    does not exist.
    """
    if kind not in list(StoreKind):
        raise ConfigError(
            f"there is no store {kind!r}{nearest(kind, list(StoreKind))}.",
            cure=f"Stores: {', '.join(StoreKind)}.",
        )
    match StoreKind(kind):
        case StoreKind.LANCEDB:
            from semilayer_pipelines.stores.lance import LanceStore

            return LanceStore(directory, env)
