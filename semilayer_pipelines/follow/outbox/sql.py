"""What the outbox is made of in PostgreSQL: a schema of its own with one table, and triggers.

The triggers run in the application's transactions, so they must never fail there: not when a key
column was renamed, and not in a session that was open when its type changed. They find their own
objects whatever the session's search path and settings are, and a role that writes to the table
needs no rights on the outbox.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from semilayer_pipelines.bridges.postgres_names import quoted

__all__ = [
    "create_outbox",
    "drop_outbox",
    "function",
    "function_name",
    "label",
    "note_function",
    "trigger",
    "trigger_name",
]

_SETTINGS = (
    "search_path = pg_catalog, pg_temp",
    "\"DateStyle\" = 'ISO, YMD'",
    "\"TimeZone\" = 'UTC'",
    "\"IntervalStyle\" = 'postgres'",
    "extra_float_digits = 3",
    "bytea_output = 'hex'",
)


def label(table: str, columns: Sequence[str]) -> str:
    """Return what marks the notes of a table, other when other columns are noted of it."""
    return f"{table}/{hashlib.sha256(repr(tuple(columns)).encode()).hexdigest()[:8]}"


def create_outbox(name: str, user: str) -> tuple[str, ...]:
    """Return the statements that make the outbox, for `user` to drain."""
    schema, drainer = quoted(name), quoted(user)
    # A queue is nearly empty and has many dead rows: cleaned up by their number, not their share.
    cleaned = "autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000"
    table = (
        f"CREATE TABLE IF NOT EXISTS {schema}.changes (\n"
        "    seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,\n"
        "    watched text NOT NULL,\n"
        "    action text NOT NULL,\n"
        "    row_key text[],\n"
        "    changed_at timestamptz NOT NULL DEFAULT clock_timestamp()\n"
        f") WITH ({cleaned})"
    )
    return (
        f"CREATE SCHEMA IF NOT EXISTS {schema}",
        table,
        f"GRANT USAGE ON SCHEMA {schema} TO {drainer}",
        f"GRANT SELECT, DELETE ON {schema}.changes TO {drainer}",
    )


def drop_outbox(name: str) -> str:
    """Return the statement that drops the outbox, its functions and their triggers."""
    return f"DROP SCHEMA IF EXISTS {quoted(name)} CASCADE"


def function_name(table: str) -> str:
    """Return the name of the function that notes a table's changes."""
    return f"note_{_short(table)}"


def trigger_name(name: str, table: str, *, of_rows: bool) -> str:
    """Return the name of a trigger that notes a table's changes.

    Other names may stand for the same relation, such as that of a table which it is a partition of.
    """
    return f"{name}_{'rows' if of_rows else 'truncate'}_{_short(table)}"


def _short(table: str) -> str:
    return hashlib.sha256(table.encode()).hexdigest()[:12]


def function(name: str, table: str) -> str:
    """Return the function that notes a table's changes, as it stands in SQL."""
    return f"{quoted(name)}.{quoted(function_name(table))}()"


def note_function(
    name: str, table: str, columns: Sequence[str], *, keys_move: bool
) -> tuple[str, str]:
    """Return the statement that makes a table's function, and the body alone.

    `keys_move`: another row may take a key before the row that has it lets go (a deferred key, or
    none). Then the old key of a changed row is noted as written, and looked up.
    """
    outbox, mark = f"{quoted(name)}.changes", literal(label(table, columns))
    gone = "upsert" if keys_move else "delete"
    insert = f"INSERT INTO {outbox} (watched, action, row_key) VALUES ({mark}, "
    body = f"""
-- Notes the changes of {_comment(table)} for semilayer.
DECLARE
    old_key text[];
    new_key text[];
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        INSERT INTO {outbox} (watched, action) VALUES ({mark}, 'truncate');
        RETURN NULL;
    END IF;
    BEGIN
        IF TG_OP <> 'INSERT' THEN
            old_key := {_texts("OLD", columns)};
        END IF;
        IF TG_OP <> 'DELETE' THEN
            new_key := {_texts("NEW", columns)};
        END IF;
    EXCEPTION WHEN undefined_column OR datatype_mismatch THEN
        -- A column was renamed or dropped, or its type changed while this session was open.
        IF TG_OP <> 'INSERT' THEN
            old_key := {_fields("OLD", columns)};
        END IF;
        IF TG_OP <> 'DELETE' THEN
            new_key := {_fields("NEW", columns)};
        END IF;
    END;
    IF TG_OP = 'DELETE' THEN
        {insert}'delete', old_key);
        RETURN NULL;
    END IF;
    IF old_key <> new_key THEN
        {insert}'{gone}', old_key);
    END IF;
    {insert}'upsert', new_key);
    RETURN NULL;
END
"""
    settings = "\n".join(f"SET {setting}" for setting in _SETTINGS)
    made = function(name, table)
    head = f"CREATE OR REPLACE FUNCTION {made} RETURNS trigger"
    tag = "$semilayer$"
    while tag in body:  # a table may be called anything
        tag = f"$s{tag[1:]}"
    # Whoever may use the schema could otherwise make a trigger of it, on a table of his own.
    closed = f"REVOKE ALL ON FUNCTION {made} FROM PUBLIC"
    return (
        f"{head}\nLANGUAGE plpgsql SECURITY DEFINER\n{settings}\nAS {tag}{body}{tag};\n{closed}",
        body,
    )


def trigger(name: str, table: str, relation: str, *, of_rows: bool) -> str:
    """Return the statements that make a trigger on `relation`.

    It fires for changes that replication applies, too.
    """
    called = trigger_name(name, table, of_rows=of_rows)
    events = (
        "INSERT OR UPDATE OR DELETE ON {} FOR EACH ROW"
        if of_rows
        else "TRUNCATE ON {} FOR EACH STATEMENT"
    )
    return (
        f"DROP TRIGGER IF EXISTS {quoted(called)} ON {relation};\n"
        f"CREATE TRIGGER {quoted(called)} AFTER {events.format(relation)}\n"
        f"    EXECUTE FUNCTION {function(name, table)};\n"
        f"ALTER TABLE {relation} ENABLE ALWAYS TRIGGER {quoted(called)}"
    )


def literal(text: str) -> str:
    """Return a text as it stands in SQL."""
    escaped = text.replace("'", "''")
    return f" E'{escaped.replace(chr(92), chr(92) * 2)}'" if "\\" in text else f"'{escaped}'"


def _texts(record: str, columns: Sequence[str]) -> str:
    # Not to_jsonb(record): that would unpack every long text of the row.
    parts = ", ".join(f"{record}.{quoted(column)}::text" for column in columns)
    return f"ARRAY[{parts}]"


def _fields(record: str, columns: Sequence[str]) -> str:
    row, names = f"to_jsonb({record})", ", ".join(map(literal, columns))
    parts = ", ".join(f"{row} ->> {literal(column)}" for column in columns)
    # NULL and no key at all, where a column is not there any more.
    return f"CASE WHEN {row} ?& ARRAY[{names}] THEN ARRAY[{parts}] END"


def _comment(table: str) -> str:
    return " ".join(table.split())
