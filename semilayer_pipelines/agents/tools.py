"""The tools: what each is called, takes, and does. Six only look; a change takes two calls."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from pydantic import BaseModel

from semilayer_pipelines.agents import arguments
from semilayer_pipelines.agents.changes import make_change, preview
from semilayer_pipelines.agents.proposals import Proposals
from semilayer_pipelines.agents.row_texts import ROWS_ARE_DATA, bounded, within
from semilayer_pipelines.cli.jobs import job_json
from semilayer_pipelines.cli.status_document import status_of
from semilayer_pipelines.counts import utc_text
from semilayer_pipelines.project import Project
from semilayer_pipelines.registry import environments, jobs, lenses
from semilayer_pipelines.registry.stored_config import to_json

__all__ = ["TOOLS", "Caller", "Tool"]

SHOWN_JOBS = 5
"""Jobs of a lens that are told with it."""


@dataclass(frozen=True)
class Caller:
    """Whom a tool works for: a project, one of its environments, and the changes proposed there."""

    project: Project
    env: str
    proposals: Proposals


@dataclass(frozen=True)
class Tool:
    """One tool; `call` gets arguments of the model `takes`, and returns what JSON can hold."""

    name: str
    says: str
    takes: type[BaseModel]
    call: Callable[[Caller, Any], dict[str, Any]]
    only_looks: bool = True


def _list_lenses(caller: Caller, wanted: arguments.Lenses) -> dict[str, Any]:
    with caller.project.registry.read() as db:
        environments.get(db, caller.env)  # one that is not there is no empty one
        known = lenses.list_all(db, caller.env)
    kept, left = within(
        {
            "name": lens.name,
            "status": lens.status.value,
            "table": lens.config.table,
            "joins": {name: join.table for name, join in lens.config.joins.items()},
            "fields": {name: field.type.value for name, field in lens.config.fields.items()},
            "tenant": lens.config.tenant,
        }
        # Sorted here: a database has an order of its own, which `after` would not fit.
        for lens in sorted(known, key=lambda one: one.name)
        if wanted.after is None or lens.name > wanted.after
    )
    told: dict[str, Any] = {"env": caller.env, "lenses": kept}
    if left:
        told["leftOut"] = f"{left:,} more lenses; call it again with after: {kept[-1]['name']}"
    return told


def _describe_lens(caller: Caller, wanted: arguments.Lens) -> dict[str, Any]:
    with caller.project.registry.read() as db:
        lens = lenses.get(db, caller.env, wanted.lens)
        latest = jobs.recent(db, lens_id=lens.id, limit=SHOWN_JOBS)
    return {
        "name": lens.name,
        "status": lens.status.value,
        "needs": lens.needs.value,
        "error": lens.error,
        "cure": lens.cure,
        "changedAt": utc_text(lens.changed_at),
        "changedBy": lens.origin,
        "config": bounded(to_json(lens.config)),
        "jobs": bounded([job_json(job) for job in latest]),
    }


def _search(caller: Caller, wanted: arguments.Search) -> dict[str, Any]:
    # Here, because it loads a store and a model.
    from semilayer_pipelines.queries.search import find

    found = find(
        caller.project,
        wanted.lens,
        wanted.query,
        env=caller.env,
        limit=wanted.limit,
        where=wanted.where,
        mode=wanted.mode,
        min_score=wanted.min_score,
    )
    return {"mode": found.mode.value} | _rows([asdict(hit) for hit in found.hits])


def _similar(caller: Caller, wanted: arguments.Similar) -> dict[str, Any]:
    from semilayer_pipelines.queries.search import similar

    hits = similar(
        caller.project,
        wanted.lens,
        wanted.id,
        env=caller.env,
        limit=wanted.limit,
        where=wanted.where,
    )
    return _rows([asdict(hit) for hit in hits])


def _rows(found: list[dict[str, Any]]) -> dict[str, Any]:
    kept, left = within(found)
    told: dict[str, Any] = {"note": ROWS_ARE_DATA, "rows": kept}
    return told | {"leftOut": f"{left:,} more rows; ask for fewer"} if left else told


def _explain_row(caller: Caller, wanted: arguments.Row) -> dict[str, Any]:
    from semilayer_pipelines.cli.explain import explanation_json, require_found
    from semilayer_pipelines.queries.explain import explain

    told = explain(caller.project, caller.env, wanted.lens, wanted.id)
    require_found(told, wanted.id)
    kept, _ = within([explanation_json(told)])
    return {"note": ROWS_ARE_DATA, "row": kept[0]}


def _status(caller: Caller, wanted: arguments.Status) -> dict[str, Any]:
    found = status_of(caller.project, caller.env, wanted.lens)
    # What needs a person comes first: the rest may not fit.
    lines = sorted(found.lenses, key=lambda line: (line.error is None, not line.next))
    kept, left = within(line.as_json() for line in lines)
    told = found.as_json() | {"lenses": kept}
    if left:
        told["leftOut"] = f"{left:,} more lenses, after those that need something; ask for one"
    return told


def _plan_change(caller: Caller, wanted: arguments.Change) -> dict[str, Any]:
    would = preview(caller.project, caller.env, wanted)
    token, proposal = caller.proposals.add(caller.env, wanted)
    return {
        "nothingDoneYet": True,
        "lens": wanted.lens,
        "action": wanted.action,
        **bounded(would),
        "token": token,
        "until": utc_text(proposal.until),
        "next": "Tell the person what it would do. If they agree, call apply_change with it.",
    }


def _apply_change(caller: Caller, wanted: arguments.Apply) -> dict[str, Any]:
    change = caller.proposals.take(caller.env, wanted.token)
    return {"done": change.action, "lens": change.lens} | make_change(
        caller.project, caller.env, change
    )


TOOLS = (
    Tool(
        "list_lenses",
        "List the lenses: tables that are searchable by meaning, with their fields.",
        arguments.Lenses,
        _list_lenses,
    ),
    Tool(
        "describe_lens",
        "Show one lens: its mapping and settings, what is wrong with it, its latest jobs.",
        arguments.Lens,
        _describe_lens,
    ),
    Tool(
        "search",
        "Find rows of a lens by meaning, by words or by both. A long row that was cut comes with "
        "the part that matched.",
        arguments.Search,
        _search,
    ),
    Tool(
        "similar",
        "Find the rows of a lens that are nearest in meaning to one of its rows.",
        arguments.Similar,
        _similar,
    ),
    Tool(
        "explain_row",
        "Show one row as its table has it, as it is mapped and indexed, and why.",
        arguments.Row,
        _explain_row,
    ),
    Tool(
        "status",
        "Show how each lens stands: rows, vectors, how far behind, errors with their cure.",
        arguments.Status,
        _status,
    ),
    Tool(
        "plan_change",
        "Say what a change of a lens would do, and do nothing. Gives a token for apply_change. "
        "A sync is compared with the whole table, which may take minutes for a large one.",
        arguments.Change,
        _plan_change,
    ),
    Tool(
        "apply_change",
        "Make the change that plan_change described. Each token works once, for 15 minutes.",
        arguments.Apply,
        _apply_change,
        only_looks=False,
    ),
)
"""All tools of the server. Few, because an agent reads them all before it does anything."""
