"""Weaviate: the store for production. One collection an index, one alias a lens.

**The write lock.** Weaviate has no lock, no transaction and no conditional write. So the registry,
which all machines of a project share, keeps two writers of one collection apart. In PostgreSQL the
lock is held by a connection of its own: it holds across machines and falls when its holder dies. A
registry in SQLite is on one machine, and so are all writers: there the lock is a file, as for
LanceDB. Leases in a table would need a clock to expire by, and a paused writer that wakes up late
would not know.

No lock stops the last request of a killed writer, which a server may still carry out a moment
later. Objects are replaced whole and by key. So it can at worst bring back an older row, and the
next sync mends that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property, partial
from pathlib import Path

import weaviate
from weaviate.classes.config import ConsistencyLevel
from weaviate.collections.classes.config import _CollectionConfigSimple
from weaviate.exceptions import UnexpectedStatusCodeError

from semilayer_pipelines.errors import ConfigError, NotFound, nearest
from semilayer_pipelines.one_model import require_dimension
from semilayer_pipelines.stores.lock import Lock
from semilayer_pipelines.stores.protocol import IndexSchema
from semilayer_pipelines.stores.stamps import Stamps
from semilayer_pipelines.stores.weaviate.check import Names, check_roles, check_search
from semilayer_pipelines.stores.weaviate.connection import T, connected, persistently
from semilayer_pipelines.stores.weaviate.errors import starting
from semilayer_pipelines.stores.weaviate.incarnation import incarnation
from semilayer_pipelines.stores.weaviate.index import WeaviateIndex
from semilayer_pipelines.stores.weaviate.journal import Journal
from semilayer_pipelines.stores.weaviate.later import has_later
from semilayer_pipelines.stores.weaviate.ledger import Ledger
from semilayer_pipelines.stores.weaviate.names import alias_name, collection_name
from semilayer_pipelines.stores.weaviate.queue import in_queues
from semilayer_pipelines.stores.weaviate.schema import (
    Owner,
    Stage,
    collection_parts,
    distance_of,
    index_schema,
    is_compressed,
    owner_of,
)
from semilayer_pipelines.stores.weaviate.settings import WeaviateSettings

__all__ = ["WeaviateStore"]

_MESSAGE_BYTES = 100 * 2**20  # what a server takes that does not say


class WeaviateStore:
    """Implements `Store` for one environment; connects at the first question.

    `owner` tells this project from others on the same server; what is another's is never touched.
    `locks` gives the write lock of an index by a name that is unique among all environments, and
    `stamps` keeps the stamps of its writes. Ledgers lie in `folder`.
    """

    def __init__(
        self,
        settings: WeaviateSettings,
        env: str,
        *,
        folder: Path,
        owner: Callable[[], str],
        locks: Callable[[str], Lock],
        stamps: Stamps | None = None,
    ) -> None:
        self._settings = settings
        self._env = env
        self._folder = folder
        self._project = owner
        self._locks = locks
        self._stamps = stamps

    def check(self, lenses: Mapping[str, bool]) -> None:
        """Ask the server whether it is there, new enough and lets us do what these lenses need.

        Raises `StoreUnavailable` and `StoreRefused`, which names the permissions that are lacking.
        """
        self._ask("listing collections", lambda: self._client.collections.list_all())
        names = [
            Names(self._collection(f"{lens}-1-g000001"), self._alias(lens), tenants)
            for lens, tenants in lenses.items()
        ]
        shown = self._settings.shown
        check_search(self._client, shown, self._collection("any"))
        check_roles(self._client, shown, names)

    def create(self, name: str, schema: IndexSchema) -> WeaviateIndex:
        """Create an index, or open it when it exists already.

        Raises `DimensionChanged` when it exists with another dimension, `ConfigError` when the
        collection it would be is somebody else's.
        """
        with self._lock(name).hold():
            if self._config(name) is None:
                self._create(name, schema)
                self._journal(name).begin()
        index = self.open(name)
        require_dimension(
            schema.dimension,
            index.dimension,
            giver="The lens needs vectors of",
            holder=f"index {name} holds",
        )
        return index

    def _create(self, name: str, schema: IndexSchema) -> None:
        parts = collection_parts(self._owner(name), schema, self._settings)
        try:
            self._ask(
                f"index {name}: creating",
                lambda: self._client.collections.create(self._collection(name), **parts),
            )
        except ConfigError:
            # Its name is taken: by itself, where the answer to an earlier attempt was lost.
            if self._config(name) is None:
                raise

    def find(self, name: str) -> WeaviateIndex | None:
        """Open an index; return `None` when there is none."""
        config = self._config(name)
        if config is None:
            return None
        told = self._client._connection._grpc_max_msg_size or _MESSAGE_BYTES
        schema = index_schema(config)
        return WeaviateIndex(
            name,
            schema,
            # What decides over writing and deleting must not come from a replica that lags behind.
            self._client.collections.use(self._collection(name)).with_consistency_level(
                ConsistencyLevel[self._settings.consistency.name]
            ),
            self._lock(name),
            self._journal(name),
            exists=lambda: self.exists(name),
            incarnation=lambda: incarnation(self._client),
            waiting=lambda: in_queues(self._client, name, self._collection(name)),
            later=has_later(config),
            compressed=is_compressed(config),
            most_bytes=told * 9 // 10,
            distance=distance_of(config),
        )

    def open(self, name: str) -> WeaviateIndex:
        """Open an existing index; raise `NotFound` when there is none."""
        index = self.find(name)
        if index is None:
            raise NotFound(
                f"there is no index {name!r} in Weaviate at {self._settings.shown}"
                f"{nearest(name, self.names())}.",
                cure="A full ingest of its lens makes one.",
            )
        return index

    def exists(self, name: str) -> bool:
        """Say whether the index exists."""
        return self._config(name) is not None

    def drop(self, name: str) -> None:
        """Remove an index and the aliases that lead to it; no error when it is gone already.

        Waits for the writer that holds the lock. Readers get `NotFound` from then on.
        """
        lock, collection = self._lock(name), self._collection(name)
        with lock.hold():
            if self._config(name) is not None:
                # Weaviate would leave them dangling, and their names taken.
                doing = f"index {name}: dropping"
                aliases = self._ask(
                    doing, lambda: self._client.alias.list_all(collection=collection)
                )
                for alias in aliases:
                    self._ask(doing, partial(self._client.alias.delete, alias_name=alias))
                self._ask(doing, lambda: self._client.collections.delete(collection))
            lock.remove()
            self._ledger(name).forget()
            if self._stamps is not None:
                self._stamps.forget(collection)

    def names(self) -> list[str]:
        """List the indexes of this environment."""
        configs = self._ask("listing indexes", lambda: self._client.collections.list_all())
        owners = [owner_of(config) for config in configs.values()]
        return sorted(o.index for o in owners if o is not None and o.stage == self._stage)

    def point(self, lens: str, name: str) -> None:
        """Let the lens's alias lead to an index, at once and for all readers of a node.

        Raises `ConfigError` when the alias leads into another environment's index, or its name is
        a collection's.
        """
        alias, collection = self._alias(lens), self._collection(name)
        doing = f"alias {alias}"
        current = self._ask(doing, lambda: self._client.alias.get(alias_name=alias))
        if current is None:
            self._create_alias(alias, collection)
        elif current.collection != collection:
            self._refuse_foreign(alias, current.collection)
            self._ask(
                doing,
                lambda: self._client.alias.update(
                    alias_name=alias, new_target_collection=collection
                ),
            )

    def _create_alias(self, alias: str, collection: str) -> None:
        try:
            self._ask(
                f"alias {alias}",
                lambda: self._client.alias.create(alias_name=alias, target_collection=collection),
            )
        except ConfigError:
            if self._config_of(alias) is None:
                raise
            made = self._ask(f"alias {alias}", lambda: self._client.alias.get(alias_name=alias))
            if made is not None and made.collection == collection:
                return  # the answer to an earlier attempt was lost
            raise ConfigError(
                f"The alias {alias} cannot be made: Weaviate at {self._settings.shown} has a "
                "collection of that name.",
                cure="Set a WEAVIATE_PREFIX for this project, or remove that collection.",
            ) from None

    def _refuse_foreign(self, alias: str, collection: str) -> None:
        config = self._config_of(collection)
        owner = owner_of(config) if config is not None else None
        if config is not None and (owner is None or owner.stage != self._stage):
            raise ConfigError(
                f"The alias {alias} leads to {collection}, which is not of this project's "
                f"environment {self._env!r}.",
                cure="Set a WEAVIATE_PREFIX for this project, or remove that alias.",
            )

    def _config(self, name: str) -> _CollectionConfigSimple | None:
        """Return the collection of an index, `None` when there is none.

        Raises `ConfigError` for a collection of that name that is another index's, or nobody's.
        """
        config = self._config_of(self._collection(name))
        if config is not None and owner_of(config) != self._owner(name):
            raise ConfigError(
                f"The collection {self._collection(name)} in Weaviate at {self._settings.shown} is "
                f"not the index {name!r} of this project's environment {self._env!r}.",
                cure="Set a WEAVIATE_PREFIX for this project, or remove that collection if it is a "
                "leftover.",
            )
        return config

    def _config_of(self, collection: str) -> _CollectionConfigSimple | None:
        def look() -> _CollectionConfigSimple | None:
            try:
                return self._client.collections.use(collection).config.get(simple=True)
            except UnexpectedStatusCodeError as error:
                if error.status_code == 404:
                    return None
                raise

        def ask() -> _CollectionConfigSimple | None:
            found = look()
            if found is None and not self._client.is_ready():
                raise starting(f"collection {collection}")
            # A server that starts knows of no collection; only what it says when ready is believed.
            return look() if found is None else found

        return self._ask(f"collection {collection}", ask)

    @property
    def _client(self) -> weaviate.WeaviateClient:
        return connected(self._settings, self._folder)

    def _collection(self, name: str) -> str:
        return collection_name(self._settings.prefix, self._env, name)

    def _ledger(self, name: str) -> Ledger:
        return Ledger(self._folder / "ledgers" / self._collection(name))

    def _journal(self, name: str) -> Journal:
        return Journal(self._collection(name), self._ledger(name), self._stamps)

    def _alias(self, lens: str) -> str:
        return alias_name(self._settings.prefix, self._env, lens)

    def _owner(self, name: str) -> Owner:
        return Owner(self._stage, name)

    @cached_property
    def _stage(self) -> Stage:
        return Stage(self._project(), self._settings.prefix, self._env)

    def _lock(self, name: str) -> Lock:
        return self._locks(self._collection(name))

    def _ask(self, doing: str, action: Callable[[], T]) -> T:
        return persistently(f"Weaviate: {doing}", action)
