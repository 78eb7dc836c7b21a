"""Push: register the lenses of a configuration, and say what that does to their indexes.

Every lens is held against its source first, so that a typo is an error at push and not a silent
full scan later. The registry changes in one transaction; no ingest starts (spec: "Push & Ingest").
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import Connection

from semilayer_pipelines.config.models import LensConfig, ProjectConfig, SourceConfig
from semilayer_pipelines.errors import NotFound, SemilayerError
from semilayer_pipelines.ingest.parts import key_of, same_rows, tracking_column_of
from semilayer_pipelines.mapping.compile import Mapping, compile_mapping
from semilayer_pipelines.nearest import nearest
from semilayer_pipelines.project import Project
from semilayer_pipelines.registry import cursors, environments, generations, lenses, sources
from semilayer_pipelines.registry.generations import Generation
from semilayer_pipelines.registry.lenses import Lens, Needs

__all__ = ["Change", "LensPush", "Plan", "apply_push", "plan_push"]


class Change(StrEnum):
    """What a push does to a lens (spec: "What Push Does")."""

    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    DELETED = "deleted"


@dataclass(frozen=True)
class LensPush:
    """One lens in a push. `config` is `None` for a deleted one."""

    name: str
    change: Change
    config: LensConfig | None
    needs: Needs


@dataclass(frozen=True)
class Plan:
    """What a push would do; nothing has been written."""

    env: str
    sources: dict[str, SourceConfig]
    lenses: tuple[LensPush, ...]

    @property
    def deleted(self) -> list[str]:
        """Names of the lenses that the push would remove with their indexes."""
        return [lens.name for lens in self.lenses if lens.change is Change.DELETED]


def plan_push(
    project: Project, config: ProjectConfig, env: str, *, only: Sequence[str] = ()
) -> Plan:
    """Compare a configuration with the registry and its lenses with their sources.

    `only` limits the push to these lenses; then nothing is deleted. Raises `NotFound` for a name
    that the configuration does not have, `SchemaMismatch` for what the source does not have, and
    what the bridges raise.
    """
    for name in only:
        if name not in config.lenses:
            raise NotFound(
                f"The configuration has no lens {name!r}{nearest(name, config.lenses)}.",
                cure=f"Lenses: {', '.join(config.lenses)}.",
            )
    with project.registry.begin() as db:
        environments.ensure(db, env, project.clock())
        known = {lens.name: lens for lens in lenses.list_all(db, env)}
        active = {name: generations.active(db, lens.id) for name, lens in known.items()}
    wanted = {n: c for n, c in config.lenses.items() if not only or n in only}
    pushes = [
        _compare(project, config, name, lens_config, known.get(name), active.get(name))
        for name, lens_config in wanted.items()
    ]
    gone = [] if only else [name for name in known if name not in config.lenses]
    pushes += [LensPush(name, Change.DELETED, None, Needs.NOTHING) for name in gone]
    return Plan(env, dict(config.sources), tuple(pushes))


def apply_push(project: Project, plan: Plan, *, origin: str = "cli") -> None:
    """Write a plan to the registry, whole or not at all; then drop the indexes of deleted lenses."""
    now = project.clock()
    dropped: list[str] = []
    with project.registry.begin() as db:
        env = environments.ensure(db, plan.env, now)
        for name, source in plan.sources.items():
            sources.put(db, env.id, name, source)
        for push in plan.lenses:
            match push.change, push.config:
                case ((Change.CREATED | Change.UPDATED), LensConfig() as config):
                    if push.change is Change.UPDATED:
                        _forget_cursor(db, lenses.get(db, plan.env, push.name), config)
                    lenses.register(
                        db, env.id, push.name, config, needs=push.needs, origin=origin, now=now
                    )
                case Change.DELETED, _:
                    dropped += _remove(db, lenses.get(db, plan.env, push.name))
                case _:
                    pass
    store = project.store(plan.env) if dropped else None
    for index in dropped:
        if store is not None:
            store.drop(index)


def _forget_cursor(db: Connection, known: Lens, config: LensConfig) -> None:
    """Drop the cursor when it is one of another column: compared with this one it means nothing."""
    names = {"source", "table", "primary_key", "change_tracking_column"}
    if known.config.model_dump(include=names) != config.model_dump(include=names):
        cursors.remove(db, known.id)


def _remove(db: Connection, lens: Lens) -> list[str]:
    kept = [generations.active(db, lens.id), generations.building(db, lens.id)]
    names = [g.index_name for g in (*kept, *generations.retired(db, lens.id)) if g is not None]
    lenses.remove(db, lens.id)
    return names


def _compare(
    project: Project,
    config: ProjectConfig,
    name: str,
    lens: LensConfig,
    known: Lens | None,
    active: Generation | None,
) -> LensPush:
    if known is not None and lenses.config_hash(lens) == known.config_hash:
        return LensPush(name, Change.UNCHANGED, lens, known.needs)
    try:
        needs = _needs(_compiler(project, config.sources[lens.source], lens.source), lens, active)
    except SemilayerError as error:
        error.lens = name
        raise
    return LensPush(name, Change.UPDATED if known else Change.CREATED, lens, needs)


def _compiler(
    project: Project, source: SourceConfig, source_name: str
) -> Callable[[LensConfig], Mapping]:
    """Return what compiles a lens against its source."""

    def compile_(lens: LensConfig) -> Mapping:
        bridge = project.bridge(source_name, source)
        try:
            table = bridge.table(lens.table)
        finally:
            bridge.close()
        tracking_column_of(lens, table)
        fingerprint = project.embedder(lens.embedding).fingerprint
        return compile_mapping(
            lens,
            table,
            key=key_of(lens, table),
            model_fingerprint=fingerprint,
            project_dir=project.settings.root,
        )

    return compile_


def _needs(
    compiled: Callable[[LensConfig], Mapping], lens: LensConfig, active: Generation | None
) -> Needs:
    """Return what brings the index in line with the new configuration (invariant 9).

    Another model, key, table or set of fields needs a rebuild (which takes over the vectors of
    equal texts when the model is the same); another way to fill the same fields, a smart sync.
    """
    mapping = compiled(lens)
    if active is None:
        return Needs.NOTHING
    if not lens.embedding.same_model(active.config.embedding):
        return Needs.REBUILD
    if not same_rows(lens, active.config):
        return Needs.REBUILD
    if mapping.fingerprint == active.mapping_fingerprint:
        return Needs.NOTHING
    try:
        same_fields = mapping.fields == compiled(active.config).fields
    except SemilayerError:
        # The table no longer has what the old configuration read.
        same_fields = False
    return Needs.SMART_SYNC if same_fields else Needs.REBUILD
