"""What an environment's registry holds at a moment, as far as it decides what a push does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from semilayer_pipelines.config.models import LensConfig, SourceConfig
from semilayer_pipelines.registry import environments, generations, lenses, sources
from semilayer_pipelines.registry.generations import Generation
from semilayer_pipelines.registry.lenses import Lens

__all__ = ["Registered"]


@dataclass(frozen=True)
class Registered:
    """What a push is compared with: all that decides a plan, and that another one may change."""

    lenses: dict[str, Lens]
    active: dict[str, Generation | None]
    pushed: dict[str, LensConfig]
    sources: dict[str, SourceConfig]

    @classmethod
    def read(cls, db: Connection, env: str) -> Registered:
        """Read what an environment holds; nothing where there is no such one."""
        known = {lens.name: lens for lens in lenses.list_all(db, env)}
        # One without a lens may have sources all the same.
        environment = environments.find(db, env)
        return cls(
            lenses=known,
            active={name: generations.active(db, lens.id) for name, lens in known.items()},
            pushed=lenses.pushed_configs(db, env),
            sources=sources.list_all(db, environment.id) if environment is not None else {},
        )

    def moved(self, name: str, source: SourceConfig) -> bool:
        """Say whether a source of that name was another database."""
        return name in self.sources and self.sources[name].connection != source.connection

    def same_as(self, other: Registered, *, only: Sequence[str]) -> bool:
        """Say whether a plan made for the one holds for the other."""
        return self._decisive(only) == other._decisive(only)

    def _decisive(self, only: Sequence[str]) -> object:
        of_lenses = {
            name: (
                (lens.id, lens.config_hash, lens.needs),
                (active.id, active.mapping_fingerprint) if active else None,
            )
            for name, lens in self.lenses.items()
            if not only or name in only
            for active in (self.active[name],)
        }
        return of_lenses, self.sources
