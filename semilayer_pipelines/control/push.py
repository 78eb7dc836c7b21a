"""Push: register the lenses of a configuration, and say what that does to their indexes.

A plan is made by looking, and written in one transaction, whole or not at all; when the registry
changed between the two, nothing is written and the plan has to be made again. No ingest starts
(docs/push.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from sqlalchemy import Connection

from semilayer_pipelines.bridges.protocol import HiddenRows
from semilayer_pipelines.config.alerts import AlertConfig
from semilayer_pipelines.config.edits import Edit, edits
from semilayer_pipelines.config.load import place
from semilayer_pipelines.config.models import LensConfig, ProjectConfig, SourceConfig
from semilayer_pipelines.control.check import LensCheck, lens_check
from semilayer_pipelines.control.check_deps import check_deps, lenses_before
from semilayer_pipelines.control.check_names import check_lens_names
from semilayer_pipelines.control.drift import Drift, drift_of
from semilayer_pipelines.control.mistakes import for_each_lens
from semilayer_pipelines.control.registered import Registered
from semilayer_pipelines.errors import NotFound, Overtaken, Refused, SemilayerError, nearest
from semilayer_pipelines.lens_names import LensName
from semilayer_pipelines.project import Project
from semilayer_pipelines.registry import (
    alerts,
    cursors,
    dropped_indexes,
    environments,
    feeds,
    generations,
    lenses,
    sources,
)
from semilayer_pipelines.registry.lenses import Lens, Needs
from semilayer_pipelines.registry.stored_config import with_defaults

__all__ = ["LensPush", "Plan", "PushAction", "apply_push", "plan_push", "plan_removal"]


class PushAction(StrEnum):
    """What a push does to a lens (docs/push.md, "What a push does")."""

    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    DELETED = "deleted"


@dataclass(frozen=True)
class LensPush:
    """One lens in a push. `config` is `None` for a deleted one; `edits` are those of an update.

    `tracked` is the change-tracking column that was found (see `lenses.Lens`), `key` the unique key
    that was found in place of a primary key. `unchecked` says why nobody could tell whether there
    is a model of the lens. `hidden` says why the source may hide rows of the
    table; an unchanged lens was not looked at. `advice` says what a rebuild would better of an
    index that needs none.
    """

    name: str
    change: PushAction
    config: LensConfig | None
    needs: Needs
    edits: tuple[Edit, ...] = ()
    tracked: str | None = None
    hidden: HiddenRows | None = None
    advice: str | None = None
    key: tuple[str, ...] = ()
    unchecked: str | None = None


@dataclass(frozen=True)
class Tells:
    """Whom an environment tells that something is wrong; `project` is the file's `stack`."""

    project: str
    to: tuple[AlertConfig, ...]


@dataclass(frozen=True)
class Plan:
    """What a push would do; nothing has been written.

    `drift` is what it would undo. `only` are the lenses that it is limited to. `seen` is what the
    registry held when the plan was made. `tells` is whom the environment is to tell, `None` where
    that stays as it is; `told` is whom it tells now.
    """

    env: str
    only: tuple[str, ...]
    sources: dict[str, SourceConfig]
    lenses: tuple[LensPush, ...]
    drift: tuple[Drift, ...]
    seen: Registered
    tells: Tells | None = None
    told: tuple[AlertConfig, ...] = ()

    @property
    def deleted(self) -> list[str]:
        """Names of the lenses that the push would remove with their indexes."""
        return [lens.name for lens in self.lenses if lens.change is PushAction.DELETED]


def plan_push(
    project: Project, config: ProjectConfig, env: str, *, only: Sequence[str] = ()
) -> Plan:
    """Compare a configuration with the registry and its lenses with their sources.

    `only` limits the push to these lenses; then nothing is deleted. Of a lens that is as it was,
    the source is asked only whether it still has what the lens names, and whether the index can
    still hold it; one that does not answer is no mistake of the push. Nor is a store that does not
    answer, or lets us do too little, as long as all lenses are as they were. Raises `NotFound` for
    a name that the configuration does not have, `SchemaMismatch` for what the source does not
    have, and what the bridges raise: the mistakes of all lenses in one error. After those it raises
    what the store says (`Store.check`).
    """
    environments.check_slug(env)
    for name in only:
        if name not in config.lenses:
            raise NotFound(
                f"The configuration has no lens {name!r}{nearest(name, config.lenses)}.",
                cure=f"Lenses: {', '.join(config.lenses)}.",
            )
    wanted = {n: c for n, c in config.lenses.items() if not only or n in only}
    with project.registry.read() as db:
        seen = Registered.read(db, env)
        told = [alert for one in alerts.addresses(db, env) for alert in one.to]
        others = [lens for lens in lenses.list_all(db) if only or lens.env != env]
    _check_names(project, env, wanted, others)
    used = {lens.source: config.sources[lens.source] for lens in wanted.values()}
    # Another database under a name concerns every lens that reads from it.
    wanted = {
        name: lens.config
        for name, lens in seen.lenses.items()
        if only
        and lens.config.source in used
        and seen.moved(lens.config.source, used[lens.config.source])
    } | wanted
    before = lenses_before(
        {LensName(lens.env, lens.name): lens.config.deps for lens in others}
        | {LensName(env, name): lens.deps for name, lens in wanted.items()}
    )
    file = project.settings.config

    def compare(name: str, lens: LensConfig) -> LensPush:
        with _placed(file, name):
            check_deps(LensName(env, name), before)
            return _compare(check, seen, name, lens)

    with lens_check(project, env, config.sources) as check:
        trouble = check.store(wanted)
        pushes = for_each_lens(wanted, compare)
    if trouble is not None and any(each.change is not PushAction.UNCHANGED for each in pushes):
        raise trouble
    gone = [] if only else [name for name in seen.lenses if name not in config.lenses]
    pushes += [LensPush(name, PushAction.DELETED, None, Needs.NOTHING) for name in gone]
    drift = [
        drift_of(seen.lenses[push.name], seen.pushed.get(push.name), push.config)
        for push in pushes
        if push.name in seen.lenses
    ]
    return Plan(
        env=env,
        only=tuple(only),
        sources=used if only else dict(config.sources),
        lenses=tuple(pushes),
        drift=tuple(one for one in drift if one is not None),
        seen=seen,
        tells=None if only else Tells(config.stack, config.alerts),
        told=tuple(told),
    )


def _check_names(project: Project, env: str, wanted: Iterable[str], others: list[Lens]) -> None:
    """Check names against those of all other lenses that there will be after the push."""
    check_lens_names(
        [LensName(env, name) for name in wanted],
        [LensName(lens.env, lens.name) for lens in others],
        store=project.settings.store,
        environ=project.environ,
    )


def plan_removal(project: Project, env: str, name: str) -> Plan:
    """Plan to remove one lens with its index, whatever a file says. Raises `NotFound`."""
    with project.registry.read() as db:
        lenses.get(db, env, name)
        seen = Registered.read(db, env)
    gone = LensPush(name, PushAction.DELETED, None, Needs.NOTHING)
    return Plan(env, (name,), {}, (gone,), (), seen)


def _compare(check: LensCheck, seen: Registered, name: str, lens: LensConfig) -> LensPush:
    known = seen.lenses.get(name)
    source = check.sources[lens.source]
    moved = seen.moved(lens.source, source)
    if known is not None and not moved and lenses.config_hash(lens) == known.config_hash:
        active = seen.active.get(name)
        needs = check.needs_still(known, active)
        advice = None if needs is Needs.REBUILD else check.advice(lens, active)
        return LensPush(name, PushAction.UNCHANGED, lens, needs, advice=advice)
    check.refuse_values(lens)
    needs = check.needs(lens, seen.active.get(name), moved=moved)
    unchecked = check.models.unchecked(lens, None if known is None else known.config)
    looked_at = LensPush(
        name,
        PushAction.CREATED,
        lens,
        needs,
        tracked=check.tracked(lens),
        hidden=check.hidden(lens),
        key=check.found_key(lens),
        unchecked=unchecked,
    )
    if known is None:
        return looked_at
    if needs is Needs.NOTHING and known.needs is Needs.SMART_SYNC:
        # What was taken back may have been brought in for some rows already.
        needs = Needs.SMART_SYNC
    found = edits(with_defaults(known.config), with_defaults(lens))
    if moved:
        before = seen.sources[lens.source].connection
        found.append(Edit(("sources", lens.source, "connection"), before, source.connection))
    return replace(looked_at, change=PushAction.UPDATED, needs=needs, edits=tuple(found))


@contextmanager
def _placed(file: Path, name: str) -> Iterator[None]:
    """Let a mistake in a key of a lens begin with the file and the line of that key."""
    try:
        yield
    except SemilayerError as error:
        if error.key is not None:
            error.message = f"{place(file, ('lenses', name, *error.key.split('.')))}{error.message}"
        raise


def apply_push(project: Project, plan: Plan, *, origin: str = lenses.PUSH) -> None:
    """Write a plan to the registry, whole or not at all; then drop the indexes of deleted lenses.

    Raises `Overtaken`, having written nothing, when the registry is not what the plan was made for.
    """
    now = project.clock()
    dropped: list[str] = []
    with project.registry.begin(durable=True) as db:
        env = environments.ensure(db, plan.env, now)
        environments.lock(db, env.id)
        held = Registered.read(db, plan.env)
        if not held.same_as(plan.seen, only=plan.only):
            raise Overtaken(
                f"Another push to {plan.env!r}, or a rebuild, ended while this one was looking; "
                "nothing was written.",
                cure="Push again.",
            )
        for push in plan.lenses:
            known = held.lenses.get(push.name)
            match push.change, push.config:
                case PushAction.DELETED, _:
                    assert known is not None
                    dropped += _remove(db, known)
                case PushAction.UNCHANGED, _:
                    assert known is not None
                    if origin == lenses.PUSH and push.name in _changed_elsewhere(held):
                        lenses.mark_pushed(db, known)
                    if push.needs is not known.needs:
                        lenses.set_needs(db, known.id, push.needs, now)
                case _, LensConfig() as config:
                    if known is not None and _cursor_is_void(held, plan, known, config):
                        cursors.remove(db, known.id)
                    lenses.register(
                        db,
                        env.id,
                        push.name,
                        config,
                        needs=push.needs,
                        origin=origin,
                        now=now,
                        tracked=push.tracked,
                    )
        if plan.tells is not None:
            alerts.set_addresses(db, env.id, plan.tells.project, plan.tells.to)
        for name, source in plan.sources.items():
            if held.sources.get(name) != source:
                sources.put(db, env.id, name, source)
        for name in [] if plan.only else held.sources.keys() - plan.sources.keys():
            _refuse_followed(db, env.id, name)
            sources.remove(db, env.id, name)
        # Another environment may have been pushed to since the plan was made.
        named = [each.name for each in plan.lenses if each.config]
        _check_names(project, plan.env, named, lenses.list_all(db))
        dropped_indexes.add(db, plan.env, dropped, now)
    for index in dropped:
        project.store(plan.env).drop(index)


def _refuse_followed(db: Connection, env_id: int, source: str) -> None:
    """Refuse to forget where something was installed: a slot would keep the server's log."""
    if feeds.get(db, env_id, source) is not None:
        raise Refused(
            f"The source {source!r} leaves the file, and what follows it is still installed in its "
            "database.",
            cure=f"Take that away first: semilayer cdc uninstall --source {source}",
        )


def _changed_elsewhere(held: Registered) -> set[str]:
    return {
        name
        for name, lens in held.lenses.items()
        if name not in held.pushed or lenses.config_hash(held.pushed[name]) != lens.config_hash
    }


def _cursor_is_void(held: Registered, plan: Plan, known: Lens, config: LensConfig) -> bool:
    """Say whether the cursor is one of another column: compared with this one it means nothing."""

    def walked(of: LensConfig) -> tuple[object, ...]:
        return of.source, of.table, of.primary_key, of.followed

    moved = held.moved(config.source, plan.sources[config.source])
    return moved or walked(known.config) != walked(config)


def _remove(db: Connection, lens: Lens) -> list[str]:
    kept = [generations.active(db, lens.id), generations.building(db, lens.id)]
    names = [g.index_name for g in (*kept, *generations.retired(db, lens.id)) if g is not None]
    lenses.remove(db, lens.id)
    return names
