"""What a statement in the log may have done to a watched table, without a row that says so.

The log has rows for INSERT, UPDATE and DELETE. Everything else is there as it was written: TRUNCATE
and DROP, an ALTER that drops a partition or fills a new column, and the writes of a session that
logs statements. No parser of ours could follow all of SQL, so a statement counts for each table
that it names; a smart sync too many does no harm.
"""

from __future__ import annotations

import re

__all__ = ["BEGINS", "ENDS", "concerns", "names_a_savepoint", "verb"]

BEGINS = frozenset({"BEGIN", "START", "XA"})
"""The verbs that begin a transaction; behind an XA its end is said as such, too."""

ENDS = frozenset({"COMMIT", "ROLLBACK"})
"""The verbs that end a transaction."""

_COMMENT = re.compile(r"\s*(/\*(?!M?!).*?\*/|--[^\n]*\n|#[^\n]*\n|/\*M?!\d*)", re.DOTALL)
_WORDS = re.compile(r"\w+")
_HARMLESS = frozenset(
    {
        *("BEGIN", "START", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE", "XA", "SET"),
        *("GRANT", "REVOKE", "ANALYZE", "OPTIMIZE", "FLUSH", "CHECK", "REPAIR"),
    }
)


def verb(statement: str) -> str:
    """Return a statement's first word in capitals, past comments; empty without one."""
    found = _WORDS.match(_bare(statement))
    return found[0].upper() if found else ""


def names_a_savepoint(statement: str) -> bool:
    """Say whether a ROLLBACK goes back to a savepoint only, within its transaction."""
    words = [word.upper() for word in _WORDS.findall(_bare(statement))[:3]]
    return "TO" in words[1:]


def concerns(statement: str, schema: str, table: str) -> bool:
    """Say whether a statement may have changed rows of a table that no event names."""
    words = [word.upper() for word in _WORDS.findall(_bare(statement))]
    if not words or words[0] in _HARMLESS:
        return False
    if words[0] in ("CREATE", "DROP"):
        objects = set(words[1:5])
        if words[0] == "DROP" and objects & {"DATABASE", "SCHEMA"}:
            return _names(statement, schema)
        if not objects & {"TABLE", "TABLES"}:
            return False  # an index, a view, a trigger, a user
    return _names(statement, table)


def _names(statement: str, name: str) -> bool:
    # Within its quotes, a quote is written twice.
    spellings = {name, name.replace("`", "``"), name.replace('"', '""')}
    written = "|".join(map(re.escape, spellings))
    return re.search(rf"(?<!\w)({written})(?!\w)", statement, re.IGNORECASE) is not None


def _bare(statement: str) -> str:
    while found := _COMMENT.match(statement):
        statement = statement[found.end() :]
    return statement.lstrip(" \t\r\n(")
