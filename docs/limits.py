"""The page `docs/limits.md`, made from the constants that an operator may meet.

Each name below is a room and a constant in it; the constant's own docstring is the page's text.
`make docs` writes the page: `python docs/limits.py > docs/limits.md`.
"""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

INTRODUCTION = """\
# Limits

Generated from the constants of the code; do not edit.

These figures are fixed: they were measured or reasoned once, and no setting changes them.
[Configuration](configuration.md) has those that a lens may set.
"""

SECTIONS = {
    "Pages": [
        "ingest.FIRST_PAGE_ROWS",
        "ingest.MIN_PAGE_ROWS",
        "ingest.MAX_PAGE_ROWS",
        "ingest.COMPARED_TIMES",
        "bridges.PAGE_BYTES",
        "ingest.TARGET_SECONDS",
        "ingest.GATHERED_ROWS",
        "ingest.GATHERED_BYTES",
    ],
    "Rows at fault, and deletes": [
        "bridges.MANY_REFUSED",
        "ingest.LOOKS_AGAIN",
        "ingest.MAX_TRIES",
        "embedders.MAX_HALVINGS",
        "embedders.SHORT_CHARACTERS",
        "ingest.MAX_REJECTED_ROWS",
        "ingest.MAX_REJECTED_SHARE",
        "ingest.MANY_FAILURES",
        "ingest.MANY_FAILURES_SHARE",
        "registry.KEPT",
        "ingest.GUARD_ROWS",
    ],
    "Smart sync by proofs": [
        "ingest.FEW_ROWS",
        "ingest.UNLIKE_SHARE",
        "ingest.MOST_BUCKETS",
        "ingest.BUCKET_ROWS",
        "ingest.LATER_SHARE",
        "ingest.PATIENT_ROWS",
    ],
    "Incremental": ["ingest.OVERLAP", "ingest.HORIZON"],
    "Jobs and runs": [
        "control.RUNS_STOP_S",
        "control.DEBOUNCE",
        "control.LONGEST_DEBOUNCE",
        "registry.MAX_ATTEMPTS",
        "registry.SOON",
        "registry.FIRST_WAIT",
        "registry.LONGEST_WAIT",
        "ingest.MOMENT",
        "ingest.LEASE",
        "ingest.SILENCE",
        "orchestration.SPREAD_FROM_S",
        "ingest.MAX_STARTS",
        "ingest.SHARE_SECONDS",
        "ingest.IDLE_SECONDS",
        "ingest.POLL_SECONDS",
        "ingest.MAX_STAY_SECONDS",
        "registry.SMALL_ROWS",
        "registry.RUNS_AHEAD",
        "orchestration.MAX_LAUNCHES",
        "orchestration.LAUNCH_LOST",
        "orchestration.SPREAD_SHARE",
    ],
    "Batches of a provider": [
        "ingest.MIN_TEXTS",
        "ingest.MAX_FILE_TEXTS",
        "ingest.MAX_FILE_TOKENS",
        "ingest.MAX_FILE_BYTES",
        "ingest.MAX_UNDER_WAY",
        "ingest.FIRST_LOOK",
        "ingest.LONGEST_LOOK",
        "ingest.LONGEST_WAIT",
        "ingest.MAX_CREATED",
        "ingest.KEPT_BY_PROVIDER",
        "embedders.MAX_LISTED",
        "embedders.FILE_S",
    ],
    "How long things are kept": [
        "ingest.KEEP_RETIRED",
        "control.MARGIN",
        "ingest.JOBS_KEPT",
        "ingest.PAGES_KEPT",
        "ingest.CHANGES_KEPT",
        "orchestration.SMALL_RUNS_KEPT",
        "orchestration.RUNS_KEPT",
        "orchestration.MAX_RUNS",
    ],
    "Long texts": [
        "chunking.CHARACTERS_A_TOKEN",
        "chunking.BYTES_A_TOKEN",
        "stores.SHORT",
        "queries.CHUNKS_EMBEDDED",
    ],
    "Searches": [
        "mapping.MAX_KEYWORD_CHARACTERS",
        "mapping.MAX_TOKEN_CHARACTERS",
        "mapping.MAX_QUERY_TOKENS",
        "queries.CANDIDATES",
        "queries.MOST_NAMED",
        "queries.RANK_CONSTANT",
        "queries.RERANKED_HITS",
        "queries.MAX_RERANKED_CHARACTERS",
    ],
    "Webhook": [
        "http.MAX_CHANGES",
        "http.MAX_BODY_BYTES",
        "http.MAX_ID_CHARACTERS",
        "http.MAX_JOB_WAIT_S",
        "http.MAX_RESULTS",
        "webhook.MAX_WAITING_CALLS",
        "webhook.MAX_WAITING_CHANGES",
        "webhook.STOP_SECONDS",
        "registry.LOG_PAGES",
        "orchestration.MAX_WATCHED",
        "orchestration.QUIET_SECONDS",
        "registry.NUDGE_GRACE",
        "registry.USED_EVERY",
        "registry.NAME_LENGTH",
    ],
    "Agents": [
        "agents.MAX_AGENT_ROWS",
        "agents.MAX_VALUE_CHARACTERS",
        "agents.MAX_LISTED",
        "agents.MAX_ANSWER_CHARACTERS",
        "agents.MAX_MESSAGE_BYTES",
        "agents.PROPOSAL_KEPT",
        "agents.MAX_PROPOSALS",
    ],
    "Console": [
        "webhook.KEPT_SECONDS",
        "webhook.SHARE",
        "webhook.HISTORY_SECONDS",
        "webhook.OVERVIEW_SECONDS",
        "webhook.SLOW_SECONDS",
        "webhook.MODEL_SECONDS",
        "webhook.DELETE_SECONDS",
        "webhook.ATTEMPTS",
        "registry.SESSION_KEPT",
        "registry.BEAT_EVERY",
        "queries.SILENT_AFTER",
        "webhook.SHOWN_CHARACTERS",
        "webhook.SHOWN_CHUNKS",
        "webhook.SHOWN_HITS",
        "webhook.SHOWN_PAGES",
        "webhook.CONDITIONS",
        "webhook.LENSES_A_PAGE",
        "webhook.FAILED_A_PAGE",
        "webhook.JOBS_A_PAGE",
        "webhook.RECENT_JOBS",
        "webhook.MAX_STEPS",
        "webhook.MAX_FORM_FIELDS",
    ],
    "Alerts": [
        "control.LOOK_EVERY_SECONDS",
        "webhook.FIRST_LOOK_SECONDS",
        "queries.PASSES_BY_ITSELF",
        "control.POST_SECONDS",
        "control.TURN_SECONDS",
        "registry.CLAIM",
        "registry.FIRST_RESEND",
        "registry.LONGEST_RESEND",
        "registry.GIVE_UP_AFTER",
    ],
    "Following a source": [
        "registry.LEASE",
        "follow.RENEW_SECONDS",
        "follow.PUSH_SECONDS",
        "follow.BATCH",
        "follow.GATHER_SECONDS",
        "follow.LOOK_SECONDS",
        "follow.STATUS_SECONDS",
        "follow.REMEMBERED",
        "follow.AWAY_SECONDS",
        "follow.MOST_SOURCES",
        "follow.MOST_PARENTS",
    ],
    "Registry": [
        "registry.PATIENCE_SECONDS",
        "registry.AHEAD",
        "registry.SQLITE_WAIT_SECONDS",
        "registry.CONNECT_SECONDS",
        "registry.VANISHED_SECONDS",
        "registry.POOL_SIZE",
        "registry.BATCH",
    ],
    "Embedders": [
        "embedders.MAX_BATCH_TEXTS",
        "embedders.MAX_BATCH_TOKENS",
        "embedders.FIRST_BYTES_A_TOKEN",
        "embedders.SPREAD_TEXTS",
        "embedders.QUESTIONS_SHARE",
        "embedders.LONGEST_RESET_S",
        "embedders.SERVICE_REQUESTS",
        "embedders.MAX_ATTEMPTS",
        "embedders.MAX_LIMITED",
        "embedders.MAX_WAIT_S",
        "embedders.ANSWER_S",
        "embedders.MAX_LATE",
        "embedders.READ_AHEAD_TEXTS",
        "embedders.BATCHES_AHEAD",
        "embedders.BATCHES_UNDER_WAY",
        "ingest.PAGES_EMBEDDED_AT_ONCE",
        "ingest.SUSPECT_ROWS",
        "embedders.MAX_READING_BYTES",
        "embedder_service.MAX_TEXTS",
        "embedder_service.MAX_DOCUMENTS",
        "config.MAX_PROMPT_CHARACTERS",
    ],
    "Stores": [
        "stores.LOCK_WAIT_S",
        "stores.CHUNK_OBJECTS",
        "stores.CHUNK_BYTES",
        "stores.REQUESTS_AT_ONCE",
        "stores.AT_ONCE",
        "stores.SCAN_PAGE",
        "stores.IDS_AT_ONCE",
        "stores.WAITS_S",
        "stores.RESTART_SECONDS",
        "cli.STORE_SECONDS",
        "stores.TAIL_ROWS",
        "stores.PATIENCE_S",
        "stores.COMPACT_PARTS",
        "stores.MOST_STRAYS",
        "ingest.NOTED_EVERY",
        "orchestration.ANSWER_SECONDS",
        "orchestration.AGAIN_AFTER",
    ],
    "Checks": [
        "starter.MAX_SOURCE_BYTES",
        "queries.ANSWER_MS",
        "queries.TICK_SECONDS",
        "queries.TICK_GRACE",
        "queries.SHOWN_IDS",
        "queries.MANY_SET_ASIDE",
        "queries.CROWD",
        "queries.EMBEDDED",
        "queries.SAME_VECTOR",
        "queries.MAX_FAILED",
    ],
}


def page() -> str:
    """Return the whole page; raises `LookupError` for a constant that is gone or says nothing."""
    parts = [INTRODUCTION]
    for title, limits in SECTIONS.items():
        rows = [row(limit) for limit in limits]
        head = "| limit | value | constant |\n| --- | --- | --- |"
        parts.append("\n".join([f"## {title}\n", head, *rows, ""]))
    return "\n".join(parts)


def row(limit: str) -> str:
    """Return a constant as a row of the page."""
    room, _, name = limit.partition(".")
    found = [one for one in constants(room) if one[1] == name]
    if len(found) != 1:
        raise LookupError(f"{limit} is in {len(found)} modules; docs/limits.py wants one.")
    module, _, text = found[0]
    if not text:
        raise LookupError(f"{module}.{name} has no docstring to stand in docs/limits.md.")
    value = getattr(importlib.import_module(module), name)
    short = module.removeprefix("semilayer_pipelines.")
    return f"| {' '.join(text.split())} | {shown(name, value)} | `{short}.{name}` |"


def constants(room: str) -> Iterator[tuple[str, str, str]]:
    """Yield module, name and docstring of every public constant of a room."""
    folder = ROOT / room if room == "webhook" else ROOT / "semilayer_pipelines" / room
    for path in sorted(folder.rglob("*.py")):
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        body = ast.parse(path.read_text(encoding="utf-8")).body
        for statement, following in zip(body, [*body[1:], None], strict=True):
            match statement, following:
                case ast.Assign([ast.Name(name)]), ast.Expr(ast.Constant(str(text))):
                    yield module, name, text
                case ast.Assign([ast.Name(name)]), _:
                    yield module, name, ""


def shown(name: str, value: object) -> str:
    """Return a value as people read it; the constant's name says the unit of a number."""
    match value:
        case Mapping():
            return ", ".join(f"{key} {shown(name, one)}" for key, one in value.items())
        case tuple():
            return ", ".join(shown(name, one) for one in value)
        case timedelta():
            return duration(value.total_seconds())
        case int() | float() if name.endswith(("_SECONDS", "_S")):
            return duration(value)
        case float() if name.endswith("_SHARE"):
            return f"{value:.0%}".replace("%", " %")
        case int() if name.endswith("_BYTES"):
            return f"{value / 2**20:.0f} MiB" if value % 2**20 == 0 else f"{value / 1e6:.0f} MB"
        case _:
            return f"{value:,}"


def duration(seconds: float) -> str:
    """Return a length of time in the largest unit that divides it."""
    for unit, length, least in (("days", 86_400, 2), ("h", 3_600, 1), ("min", 60, 1)):
        if seconds >= length * least and seconds % length == 0:
            return f"{seconds / length:g} {unit}"
    return f"{seconds:g} s"


if __name__ == "__main__":
    print(page(), end="")
