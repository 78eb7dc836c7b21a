"""Drains the outbox of one lens: reads, delivers, and only then deletes what it read.

    python drain.py products

Reads DATABASE_URL, SEMILAYER_URL and SEMILAYER_INGEST_KEY. May be killed at any instruction: a row
leaves the outbox after the service has acknowledged it, so the worst case is a second delivery.
No transaction stays open while it talks to the service.
"""

from __future__ import annotations

import math
import os
import sys
import time

import psycopg

from semilayer_pipelines.client import (
    Action,
    Change,
    DeliveryFailed,
    IngestClient,
    InvalidChange,
    RequestRefused,
)
from semilayer_pipelines.errors import ConfigError
from semilayer_pipelines.redaction import redact

ROWS_A_ROUND = 10_000
IDLE_SECONDS = 0.5
PAUSE_SECONDS = 2.0

# Exactly these rows are deleted afterwards, and not "all up to the last number": a transaction that
# is still open may hold a lower number than one that has committed.
READ = "SELECT seq, id, action FROM semilayer_changes WHERE lens = %s ORDER BY seq LIMIT %s"
# (A join, because "= ANY" of ten thousand numbers takes seconds on a table without statistics.)
DELETE = """
    DELETE FROM semilayer_changes AS noted USING unnest(%s::bigint[]) AS delivered (seq)
    WHERE noted.lens = %s AND noted.seq = delivered.seq
"""

# One drainer per lens at a time. Two that share the rows between them (SKIP LOCKED) could deliver
# the changes of one id in the wrong order. The lock ends with the connection: a second stands by.
TAKE_TURN = "SELECT pg_try_advisory_lock(hashtext('semilayer_changes'), hashtext(%s))"


def drain(connection: psycopg.Connection, client: IngestClient, lens: str) -> int:
    """Deliver and delete one round of changes; return how many there were."""
    rows = connection.execute(READ, (lens, ROWS_A_ROUND)).fetchall()
    if rows:
        client.add(change for _, id, action in rows if (change := sendable(id, action)))
        client.flush()
        connection.execute(DELETE, ([seq for seq, _, _ in rows], lens))
    return len(rows)


def sendable(id: str, action: str) -> Change | None:
    """Return the change; `None`, and a word about it, when the service cannot take its id."""
    try:
        return Change(id, Action(action))
    except InvalidChange as fault:
        say(f"left out, it would hold up all others: {fault.message}")
        return None


def follow(dsn: str, url: str, key: str, lens: str) -> None:
    """Drain until the database or the service fails."""
    # A client for each connection: what one could not deliver is still in the outbox, and by the
    # time this drainer has its turn again, another one may have delivered something newer.
    with (
        psycopg.connect(dsn, autocommit=True) as connection,
        IngestClient(url, key, lens, flush_after=math.inf) as client,
    ):
        while not _has_turn(connection, lens):
            time.sleep(IDLE_SECONDS)
        while True:
            if drain(connection, client, lens) < ROWS_A_ROUND:
                time.sleep(IDLE_SECONDS)


def main(lens: str) -> int:
    """Drain for ever; return 1 when the service refuses or a setting is wrong."""
    try:
        names = ("DATABASE_URL", "SEMILAYER_URL", "SEMILAYER_INGEST_KEY")
        dsn, url, key = (os.environ[name] for name in names)
    except KeyError as missing:
        return say(f"the environment variable {missing} is not set.")
    while True:
        try:
            follow(dsn, url, key, lens)
        except (ConfigError, RequestRefused) as error:
            return say(str(error))
        except (psycopg.errors.UndefinedTable, psycopg.errors.InsufficientPrivilege) as error:
            return say(f"{redact(str(error))} Was setup.sql run in this database?")
        except (DeliveryFailed, psycopg.OperationalError) as failure:
            say(f"{redact(str(failure))} Next try in {PAUSE_SECONDS:.0f} s.")
            time.sleep(PAUSE_SECONDS)


def _has_turn(connection: psycopg.Connection, lens: str) -> bool:
    row = connection.execute(TAKE_TURN, (lens,)).fetchone()
    return row is not None and bool(row[0])


def say(message: str) -> int:
    """Write to standard error; return the exit code of a failure."""
    print(f"drain: {message}", file=sys.stderr, flush=True)
    return 1


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python drain.py LENS")
    try:
        sys.exit(main(sys.argv[1]))
    except KeyboardInterrupt:
        sys.exit(130)  # what was not delivered is still in the outbox
