"""Open the store a project asks for by name, importing nothing of the others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from semilayer_pipelines.errors import ConfigError, nearest
from semilayer_pipelines.stores.lock import Lock, WriterLock

if TYPE_CHECKING:
    from semilayer_pipelines.stores.protocol import Store
    from semilayer_pipelines.stores.stamps import Stamps

__all__ = ["StoreKind", "check_names", "is_server", "open_store", "store_kind"]


class StoreKind(StrEnum):
    """The kinds of store there are."""

    LANCEDB = "lancedb"
    WEAVIATE = "weaviate"


def store_kind(name: str) -> StoreKind:
    """Return the kind of store of that name; raise `ConfigError` when there is none."""
    if name not in list(StoreKind):
        raise ConfigError(
            f"there is no store {name!r}{nearest(name, list(StoreKind))}.",
            cure=f"Stores: {', '.join(StoreKind)}.",
        )
    return StoreKind(name)


def is_server(name: str) -> bool:
    """Say whether a store is a server, which may be away; raise `ConfigError` for no store."""
    return store_kind(name) is StoreKind.WEAVIATE


def open_store(
    kind: str,
    directory: Path,
    env: str,
    *,
    environ: Mapping[str, str] | None = None,
    owner: Callable[[], str] = lambda: "",
    locks: Callable[[str], Lock] | None = None,
    stamps: Stamps | None = None,
) -> Store:
    """Open the store of one environment; nothing is written before the first index is created.

    `directory` is where an embedded store keeps its files, and write locks theirs. A server is
    found by the settings in `environ`; on one that several projects share, `owner` tells this one's
    indexes from those of others. `locks` gives the write lock of an index where writers are
    on several machines, and `stamps` keeps who wrote to one last. Raises `ConfigError` for a kind
    that does not exist and for settings that cannot be used.
    """
    match store_kind(kind):
        case StoreKind.LANCEDB:
            from semilayer_pipelines.stores.lance.store import LanceStore

            return LanceStore(directory, env)
        case StoreKind.WEAVIATE:
            from semilayer_pipelines.stores.weaviate.settings import WeaviateSettings
            from semilayer_pipelines.stores.weaviate.store import WeaviateStore

            return WeaviateStore(
                WeaviateSettings.from_environ(environ or {}),
                env,
                folder=directory,
                owner=owner,
                locks=locks or (lambda name: WriterLock(directory / "locks" / f"{name}.lock")),
                stamps=stamps,
            )


def check_names(
    kind: str, lenses: Iterable[tuple[str, str]], *, environ: Mapping[str, str] | None = None
) -> None:
    """Raise `ConfigError` when the store could not tell two lenses apart: (environment, name)."""
    if store_kind(kind) is StoreKind.WEAVIATE:
        from semilayer_pipelines.stores.weaviate.names import check_lens_names
        from semilayer_pipelines.stores.weaviate.settings import WeaviateSettings

        check_lens_names(WeaviateSettings.from_environ(environ or {}).prefix, lenses)
