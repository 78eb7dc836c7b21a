"""From calls of pgai's `ai.create_vectorizer` to lenses: one for each call, in the order of a file.

The SQL is parsed by sqlglot and never run. The forms are those of pgai 0.4 to 0.12.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from semilayer_pipelines.config.intervals import SYNC_INTERVALS
from semilayer_pipelines.errors import ConfigError
from semilayer_pipelines.starter.config_text import SOURCE, lens_name
from semilayer_pipelines.starter.imported import Imported, Note, fitting_lens, in_order, why_none
from semilayer_pipelines.starter.plain_names import plain_field

if TYPE_CHECKING:
    from sqlglot import Token, exp

__all__ = ["from_pgai"]

_FUNCTION = "create_vectorizer"
_ENDPOINTS = {
    "embedding_openai": ("https://api.openai.com/v1", "OPENAI_API_KEY"),
    "embedding_voyageai": ("https://api.voyageai.com/v1", "VOYAGE_API_KEY"),
    "embedding_ollama": ("http://localhost:11434/v1", None),
}
_WALKED = "1h"
_WHY = {
    "destination": "the index lives in the store of this project",
    "indexing": "the store builds its index itself",
    "processing": "pages and batches follow what the database and the model can do",
    "parsing": "files are not read; only what the columns hold",
    "queue_schema": "there is no queue in your database",
    "queue_table": "there is no queue in your database",
    "grant_to": "see `semilayer keys`",
    "enqueue_existing": "the first ingest reads all rows",
    "if_not_exists": "a push compares with what is registered",
}
_NO_COUNTERPART = "it has no counterpart here"
_UNITS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}


def from_pgai(text: str, name: str) -> Imported:
    """Return a configuration with a lens for each vectorizer that a file of SQL creates.

    Raises `ConfigError` for SQL that cannot be parsed, or that creates none.
    """
    import sqlglot
    from sqlglot.errors import SqlglotError

    # It warns of each statement that it does not take apart, and none of those is a call.
    logging.getLogger("sqlglot").setLevel(logging.ERROR)
    try:
        statements = sqlglot.parse(text, read="postgres")
    except SqlglotError as error:
        first = re.sub(r"\x1b\[[0-9;]*m", "", str(error)).splitlines()[0]
        raise ConfigError(
            f"{name} is no SQL that can be read: {first}",
            cure="Leave the calls of ai.create_vectorizer in it, and take the rest out.",
        ) from None
    notes: list[Note] = []
    lost: list[Note] = []
    lenses: dict[str, Any] = {}
    for call in _calls(statements):
        given = _arguments(call)
        table = _table(given.get("source"))
        if table is None:
            lost.append(Note(None, f"ai.{_FUNCTION}", "left out: its table is not written out"))
            continue
        lens = lens_name(given.get("name") or table, set(lenses))
        kept, refused = fitting_lens(lens, _lens(lens, table, given, notes), lambda _: None)
        lost += refused
        if kept is not None:
            lenses[lens] = kept
    if not lenses:
        raise ConfigError(
            f"{name} has no call of ai.{_FUNCTION} that makes a lens.{why_none(lost)}",
            cure="It is for files with `SELECT ai.create_vectorizer(…)`, such as a migration.",
        )
    source = {"bridge": "sql", "connection": "${DATABASE_URL}"}
    document = {"stack": "project", "sources": {SOURCE: source}, "lenses": lenses}
    return Imported(document, in_order([*notes, *lost]))


def _calls(statements: list[Any]) -> Iterator[exp.Anonymous]:
    from sqlglot import exp

    for statement in statements:
        if isinstance(statement, exp.Command):
            yield from _calls(_calls_of_block(statement))
        elif statement is not None:
            for call in statement.find_all(exp.Anonymous):
                if str(call.this).lower() == _FUNCTION:
                    yield call


def _calls_of_block(command: exp.Command) -> list[Any]:
    """Return the calls in a `DO $$ … $$`, parsed; the language around them is no SQL."""
    import sqlglot
    from sqlglot import TokenType
    from sqlglot.errors import SqlglotError

    if str(command.this).upper() != "DO":
        return []
    found: list[Any] = []
    for body in sqlglot.tokenize(str(command.expression.this), read="postgres"):
        if body.token_type is not TokenType.HEREDOC_STRING:
            continue
        tokens = sqlglot.tokenize(body.text, read="postgres")
        for number, token in enumerate(tokens):
            if token.text.lower() == _FUNCTION:
                end = _closing(tokens, number + 1)
                try:
                    found += sqlglot.parse(
                        f"SELECT {body.text[token.start : end]}", read="postgres"
                    )
                except SqlglotError:
                    continue  # a variable of the block, say; the others can be read
    return found


def _closing(tokens: list[Token], opening: int) -> int:
    """Return where in the text the parenthesis that opens at a token is closed."""
    from sqlglot import TokenType

    deep = 0
    for token in tokens[opening:]:
        deep += (token.token_type is TokenType.L_PAREN) - (token.token_type is TokenType.R_PAREN)
        if deep == 0:
            return token.end + 1
    return tokens[-1].end + 1


def _arguments(call: Any) -> dict[str, Any]:
    """Return a call's arguments by name; the first one without a name is the source."""
    named, unnamed = dict[str, Any](), []
    for one in call.expressions:
        if _is_named(one):
            named[one.this.name.lower()] = _plain(one.expression)
        else:
            unnamed.append(_plain(one))
    positions = ("source", "name", "destination", "loading")
    return dict(zip(positions, unnamed, strict=False)) | named


def _is_named(node: Any) -> bool:
    """Say whether an argument has a name: `name => value`, or `name := value` as it once was."""
    from sqlglot import exp

    return isinstance(node, exp.Kwarg | exp.PropertyEQ)


def _plain(node: Any) -> Any:
    """Return a literal as it is, a call of pgai's as (name, positional, named)."""
    from sqlglot import exp

    match node:
        case exp.Literal():
            return node.this if node.is_string else _number(node.this)
        case exp.Cast():
            return _plain(node.this)
        case exp.Dot():
            return _plain(node.expression)
        case exp.Boolean():
            return bool(node.this)
        case exp.Null():
            return None
        case exp.Interval():
            return node
        case exp.Anonymous():
            named = {
                one.this.name.lower(): _plain(one.expression)
                for one in node.expressions
                if _is_named(one)
            }
            positional = [_plain(one) for one in node.expressions if not _is_named(one)]
            return (str(node.this).lower(), positional, named)
        case exp.RawString() | exp.ByteString():  # $$…$$ and E'…'
            return node.this
        case _:
            return None


def _lens(name: str, table: str, given: dict[str, Any], notes: list[Note]) -> dict[str, Any]:
    def note(key: str, why: str) -> None:
        notes.append(Note(None, f"{table}, {key}", why))

    for key in given.keys() & _WHY.keys():
        note(key, _WHY[key])
    known = {"source", "name", "loading", "embedding", "chunking", "formatting", "scheduling"}
    for key in given.keys() - known - _WHY.keys():
        note(key, _NO_COUNTERPART)
    lens: dict[str, Any] = {"source": SOURCE, "table": table}
    every = _every(given.get("scheduling"))
    lens["smartSyncInterval"] = every or _WALKED
    if every is None:
        why = "name `changeTrackingColumn` and `syncInterval`, or push changes, for fresher rows"
        note("scheduling", f"pgai's triggers have no counterpart; compared every {_WALKED}; {why}")
    lens["embedding"] = _embedding(given.get("embedding"), note)
    chunking = given.get("chunking")
    if isinstance(chunking, tuple):
        if chunking[0] == "chunking_none":
            lens["chunking"] = "off"
        else:
            note("chunking", "long texts are cut by what the model reads (`chunking: auto`)")
    lens["fields"] = _fields(given, note)
    return lens


def _fields(given: dict[str, Any], note: Any) -> dict[str, Any]:
    """Return the searchable fields: columns of the template before the chunk, then the text."""
    loading, chunking = given.get("loading"), given.get("chunking")
    column = None
    if isinstance(loading, tuple):
        if loading[0] != "loading_column":
            note("loading", "files and addresses are not read; only what the columns hold")
            return {}
        column = _first(loading, "column_name")
    elif isinstance(chunking, tuple):
        # Before 0.10 the splitter named the column.
        column = _first(chunking, "chunk_column")
    template = given.get("formatting")
    words = str(_first(template, "template") or "") if isinstance(template, tuple) else ""
    columns = [one for one in re.findall(r"\$\{?(\w+)\}?", words) if one != "chunk"]
    if re.sub(r"\$\{?\w+\}?", "", words).strip():
        note("formatting", "the words of the template are not embedded, the columns are")
    texts = [*columns, *([column] if isinstance(column, str) else [])]
    return {
        plain_field(one): {"type": "text", "searchable": True}
        | ({} if plain_field(one) == one else {"from": one})
        for one in dict.fromkeys(texts)
    }


def _embedding(given: Any, note: Any) -> dict[str, Any]:
    kind, positional, named = given if isinstance(given, tuple) else ("", [], {})
    if kind not in _ENDPOINTS:
        note("embedding", f"{kind or 'none'} is not known; the default model is used")
        return {}
    url, variable = _ENDPOINTS[kind]
    values = dict(zip(("model", "dimensions"), positional, strict=False)) | named
    base = values.get("base_url")
    if isinstance(base, str):
        url = base.rstrip("/") + ("" if base.rstrip("/").endswith("/v1") else "/v1")
    embedding: dict[str, Any] = {"provider": "openai", "model": values.get("model"), "url": url}
    key = values.get("api_key_name") or variable
    if isinstance(key, str):
        embedding["apiKey"] = f"${{{key}}}"
    if isinstance(values.get("dimensions"), int) and kind == "embedding_openai":
        embedding["dimensions"] = values["dimensions"]
    return embedding


def _every(scheduling: Any) -> str | None:
    """Return the interval of ours that is nearest to a schedule, `None` where it has none."""
    if not isinstance(scheduling, tuple):
        return None
    interval = _first(scheduling, "schedule_interval")
    amount = getattr(getattr(interval, "this", None), "name", "")
    unit = str(getattr(interval, "unit", "")).lower().rstrip("s")
    if unit not in _UNITS or not amount.isdigit():
        return None
    seconds = int(amount) * _UNITS[unit]
    return min(SYNC_INTERVALS, key=lambda name: abs(SYNC_INTERVALS[name] - seconds))


def _first(call: tuple[str, list[Any], dict[str, Any]], name: str) -> Any:
    _, positional, named = call
    return named.get(name, positional[0] if positional else None)


def _table(given: Any) -> str | None:
    return given.replace('"', "").removeprefix("public.") if isinstance(given, str) else None


def _number(text: str) -> int | float:
    return int(text) if text.isdigit() else float(text)
