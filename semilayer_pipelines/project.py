"""Where everything of a project is: settings from the environment, and the parts they name.

This is the composition root: the command, the webhook and Dagster's layer open a `Project` and get
registry, stores, bridges and embedders from it; nothing below reads the environment.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property

# These say no where a `Path` would raise: a folder above may be closed to this user.
from os.path import exists, isdir, isfile
from pathlib import Path
from typing import TYPE_CHECKING

from semilayer_pipelines.config.embedding import EmbeddingConfig
from semilayer_pipelines.config.models import SourceConfig
from semilayer_pipelines.dev_addresses import DevAddresses, running_dev
from semilayer_pipelines.env_file import with_env_file
from semilayer_pipelines.errors import ConfigError
from semilayer_pipelines.private_files import private_folder
from semilayer_pipelines.quick_imports import without_collector
from semilayer_pipelines.registry.database import Registry

if TYPE_CHECKING:
    # Imported where they are opened: the webhook starts without Polars, and most commands without
    # one or the other.
    from semilayer_pipelines.bridges.protocol import Bridge
    from semilayer_pipelines.embedders.prompts import BuiltWith
    from semilayer_pipelines.embedders.protocol import Embedder
    from semilayer_pipelines.embedders.reranker import Reranker
    from semilayer_pipelines.stores.chunks.protocol import RowStore
    from semilayer_pipelines.stores.lance.kept_facts import KeptFacts
    from semilayer_pipelines.stores.lock import Lock
    from semilayer_pipelines.stores.stamps import Stamps

__all__ = ["CONFIG_NAME", "Project", "Settings", "read_project_env", "utc_now"]

CONFIG_NAME = "sl.config.yaml"
_HOME = ".semilayer"
_PLACES = frozenset({"SEMILAYER_ROOT", "SEMILAYER_HOME", "SEMILAYER_REGISTRY_URL"})
"""Settings that name a place for a project's state, so that nothing has to be there yet."""

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """Return the time, zoned."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class Settings:
    """What the environment says; every setting has a default that works on one machine.

    `env` is the environment of a person's own program, where it names none.
    """

    root: Path
    config: Path
    home: Path
    env: str
    registry_url: str
    store: str
    dagster_url: str | None = None
    embedder_url: str | None = None

    @property
    def walks(self) -> Path:
        """The folder of what the last complete walks of the sources saw."""
        return self.home / "walks"

    @classmethod
    def from_environ(cls, environ: Mapping[str, str], cwd: Path) -> Settings:
        """Read `SEMILAYER_*`.

        The project's root is the folder of `SEMILAYER_CONFIG`, else the nearest folder upward with
        an `sl.config.yaml`, else `cwd`. Raises `ConfigError` for an empty setting, and where the
        state of an earlier version is in `cwd` instead.
        """
        empty = [n for n, v in environ.items() if n.startswith("SEMILAYER_") and not v.strip()]
        if empty:
            raise ConfigError(
                f"The setting {empty[0]} is set but empty.", cure="Unset it or give it a value."
            )
        named = environ.get("SEMILAYER_CONFIG")
        config = (cwd / named).resolve() if named else _nearest_config(cwd)
        # Not that of the resolved path: a mounted file may be a link into a folder of its own.
        beside = (cwd / named).parent if named else config.parent
        root = Path(environ.get("SEMILAYER_ROOT") or beside).resolve()
        home = (root / environ.get("SEMILAYER_HOME", _HOME)).resolve()
        if named and _PLACES.isdisjoint(environ):
            _refuse_state_elsewhere(cwd.resolve(), root)
        return cls(
            root=root,
            config=config,
            home=home,
            env=environ.get("SEMILAYER_ENV", "development"),
            registry_url=environ.get("SEMILAYER_REGISTRY_URL", f"sqlite:///{home}/registry.db"),
            store=environ.get("SEMILAYER_STORE", "lancedb"),
            dagster_url=(url := environ.get("SEMILAYER_DAGSTER_URL")) and url.rstrip("/"),
            embedder_url=environ.get("SEMILAYER_EMBEDDER_URL"),
        )


def read_project_env() -> None:
    """Read the file `.env` beside the configuration into this process's environment.

    Raises `ConfigError` when there is one that cannot be read.
    """
    cwd = _cwd()
    named = os.environ.get("SEMILAYER_CONFIG")
    folder = ((cwd / named) if named else _nearest_config(cwd)).parent
    os.environ.update(with_env_file(os.environ, folder))


def _cwd() -> Path:
    try:
        return Path.cwd()
    except OSError as error:
        raise ConfigError(
            f"The working folder cannot be used: {error.strerror}.",
            cure="Go to a folder that is there, and that this user may enter.",
        ) from None


def _refuse_state_elsewhere(cwd: Path, root: Path) -> None:
    """Refuse to begin anew beside the configuration what an earlier version kept in `cwd`."""
    of_another = cwd == root or isfile(cwd / CONFIG_NAME)
    if not of_another and isdir(cwd / _HOME) and not exists(root / _HOME):
        raise ConfigError(
            f"SEMILAYER_CONFIG names a project in {root}, and what it keeps is in {cwd / _HOME}.",
            cure=f"Set SEMILAYER_ROOT={cwd} to go on with that, or move {_HOME} beside the file.",
        )


def _nearest_config(cwd: Path) -> Path:
    for folder in (cwd, *cwd.parents):
        if isfile(folder / CONFIG_NAME):
            return folder / CONFIG_NAME
    return cwd / CONFIG_NAME


def _no_project(message: str) -> ConfigError:
    from semilayer_pipelines.config.load import STARTER

    return ConfigError(
        message,
        cure=f"Name the project's folder, or make one with `semilayer init`; the shortest "
        f"{CONFIG_NAME} is:\n\n{STARTER}",
    )


@dataclass(frozen=True)
class Project:
    """The parts of a project, each opened when it is first asked for.

    `clock` is the registry's, unless another one is given.
    """

    settings: Settings
    environ: Mapping[str, str] = field(repr=False, default_factory=dict)
    clock: Clock = utc_now

    def __post_init__(self) -> None:
        """Go by the registry's clock: those of several machines differ."""
        if self.clock is utc_now:
            object.__setattr__(self, "clock", self._registry_time)

    def _registry_time(self) -> datetime:
        # Whoever asks before the registry is open has nothing to compare the time with.
        opened: Registry | None = self.__dict__.get("registry")
        return utc_now() if opened is None else opened.time()

    @classmethod
    def at(cls, path: str | Path, *, env: str | None = None) -> Project:
        """Open the project in a folder, or the one of a configuration file.

        `env` is the environment that functions use when none is named; `SEMILAYER_ENV` by default.
        All other settings come from the process's environment, then from the file `.env` there.
        Raises `ConfigError` for a path that is no project; nothing is made there.
        """
        given = Path(path).expanduser()
        file = given if isfile(given) else given / CONFIG_NAME
        named = {"SEMILAYER_CONFIG": file.name} | ({"SEMILAYER_ENV": env} if env else {})
        inherited = {name: v for name, v in os.environ.items() if name != "SEMILAYER_ROOT"}
        settings = with_env_file(inherited | named, file.parent)
        project = cls.from_environ(settings, file.parent.resolve())
        if not exists(given):
            raise ConfigError(
                f"{given} does not exist.",
                cure=f"Name the folder of the project; paths are relative to {Path.cwd()}.",
            )
        if not project._is_there:
            raise _no_project(f"There is no {CONFIG_NAME} in {given}.")
        return project

    @classmethod
    def here(cls) -> Project:
        """Open the project of this process.

        `SEMILAYER_*` say where it is, else it is in the working folder or one above. Raises
        `ConfigError` where there is none; nothing is made there.
        """
        cwd = _cwd()
        read_project_env()
        project = cls.from_environ(os.environ, cwd)
        if not project._is_there and _PLACES.isdisjoint(os.environ):
            if "SEMILAYER_CONFIG" in os.environ:
                named = project.settings.config
                raise _no_project(
                    f"SEMILAYER_CONFIG names {named}, and this user sees no such file."
                )
            raise _no_project(f"There is no {CONFIG_NAME} in {cwd} or any folder above it.")
        return project

    @classmethod
    def from_environ(cls, environ: Mapping[str, str], cwd: Path) -> Project:
        """Open the project that the settings name, whether it is there already or not."""
        return cls(Settings.from_environ(environ, cwd), dict(environ))

    @property
    def _is_there(self) -> bool:
        """Whether a configuration or the state of earlier commands shows that it was meant."""
        return isfile(self.settings.config) or isdir(self.settings.home)

    @property
    def dev(self) -> DevAddresses | None:
        """The `semilayer dev` that runs for this project now, on this machine."""
        return running_dev(self.settings.home)

    @property
    def dagster_url(self) -> str | None:
        """The address of Dagster's web server: the one that was named, else that of `dev`."""
        if self.settings.dagster_url is not None:
            return self.settings.dagster_url
        return None if (dev := self.dev) is None else dev.dagster

    @cached_property
    def registry(self) -> Registry:
        """The registry, migrated to this code's version."""
        self._close_home(make=self.settings.registry_url.startswith("sqlite"))
        return Registry.open(self.settings.registry_url)

    def _close_home(self, *, make: bool) -> None:
        """Keep the project's folder for its owner alone; it is made with `make` only."""
        home = self.settings.home
        # Whoever needs the folder says why it cannot be made.
        with suppress(OSError):
            if make or home.exists():
                private_folder(home)

    def store(self, env: str) -> RowStore:
        """Return the store that holds the generations of an environment."""
        with without_collector():
            from semilayer_pipelines.stores import open_store
            from semilayer_pipelines.stores.chunks.store import ChunkedStore

        # Kept, so that a long-lived process connects once to a store that is a server.
        if env not in self._stores:
            self._close_home(make=True)
            opened = open_store(
                self.settings.store,
                self._store_folder,
                env,
                environ=self.environ,
                owner=lambda: self._made_at(env),
                locks=self._shared_locks,
                stamps=self._stamps,
            )
            self._stores[env] = ChunkedStore(opened)
        return self._stores[env]

    @property
    def _store_folder(self) -> Path:
        kind = self.settings.store
        return self.settings.home / ("lance" if kind == "lancedb" else kind)

    def kept_facts(self, env: str) -> KeptFacts | None:
        """Return what the indexes of an environment held when somebody last looked.

        `None` where the store is a server, which tells at once.
        """
        from semilayer_pipelines.stores.lance.kept_facts import KeptFacts
        from semilayer_pipelines.stores.open import is_server

        server = is_server(self.settings.store)
        return None if server else KeptFacts(self._store_folder / env)

    def _made_at(self, env: str) -> str:
        """Return what tells this environment from one of the same name in another registry."""
        from semilayer_pipelines.registry import environments

        with self.registry.read() as db:
            return str(environments.get(db, env).created_at)

    @cached_property
    def _shared_locks(self) -> Callable[[str], Lock] | None:
        """Write locks that hold across machines, where the registry can be shared by several."""
        if self.registry.engine.dialect.name != "postgresql":
            return None
        from semilayer_pipelines.registry.engine import make_engine
        from semilayer_pipelines.stores.shared_lock import SharedLock

        engine = make_engine(self.settings.registry_url, pooled=False)
        return lambda name: SharedLock(engine, name)

    @cached_property
    def _stamps(self) -> Stamps:
        from semilayer_pipelines.registry.index_stamps import IndexStamps

        return IndexStamps(self.registry)

    @cached_property
    def _stores(self) -> dict[str, RowStore]:
        return {}

    def bridge(self, name: str, config: SourceConfig) -> Bridge:
        """Connect to a source; `${VAR}` is taken from this process's environment."""
        from semilayer_pipelines.bridges import open_bridge

        return open_bridge(config, name=name, environ=self.environ, folder=self.settings.root)

    def last_written(self, name: str, config: SourceConfig) -> datetime | None:
        """Return when a source was last written to; `None` where it would take a query to know."""
        from semilayer_pipelines.bridges.last_written import last_written

        return last_written(config, name=name, environ=self.environ, folder=self.settings.root)

    def build_of(self, config: EmbeddingConfig) -> BuiltWith:
        """Return how an index is built that is made now: with which prompt for passages.

        Asks the embedder service or the hub where the model's files are not on this machine. Raises
        `ModelUnavailable` for a model that is a path which does not exist.
        """
        from semilayer_pipelines.embedders import build_of

        return build_of(
            config,
            environ=self.environ,
            service=self.embedder_url,
            folder=self.settings.root,
        )

    @property
    def embedder_url(self) -> str | None:
        """The address of the embedder service: the one that was named, else that of `dev`."""
        if self.settings.embedder_url is not None:
            return self.settings.embedder_url
        return None if (dev := self.dev) is None else dev.embedder

    def embedder(self, config: EmbeddingConfig, built: BuiltWith | None = None) -> Embedder:
        """Return the embedder of a lens; its model loads at the first text.

        `built` is how the index was built that it is for, `None` for one that is made now.
        With `SEMILAYER_EMBEDDER_URL`, a sentence-transformers model is used there if it can be.
        Without it, the one of a running `semilayer dev` is used where it is the same model.
        """
        from semilayer_pipelines.embedders import open_embedder

        # Kept, so that a long-lived process asks the service once and keeps its connections.
        one = (config, built)
        if one not in self._embedders:
            self._embedders[one] = open_embedder(
                config,
                environ=self.environ,
                built=built,
                service=self.embedder_url,
                named=self.settings.embedder_url is not None,
                folder=self.settings.root,
            )
        return self._embedders[one]

    def forget_embedder(self, config: EmbeddingConfig, built: BuiltWith | None) -> None:
        """Have the next call of `embedder` look anew which model is meant."""
        self._embedders.pop((config, built), None)

    def reranker(self, model: str) -> Reranker:
        """Return a reranker by name or path; it loads at the first question, where models run."""
        from semilayer_pipelines.embedders.reranker import open_reranker

        if model not in self._rerankers:
            self._rerankers[model] = open_reranker(
                model,
                environ=self.environ,
                service=self.embedder_url,
                named=self.settings.embedder_url is not None,
                folder=self.settings.root,
            )
        return self._rerankers[model]

    @cached_property
    def _rerankers(self) -> dict[str, Reranker]:
        return {}

    @cached_property
    def _embedders(self) -> dict[tuple[EmbeddingConfig, BuiltWith | None], Embedder]:
        return {}
