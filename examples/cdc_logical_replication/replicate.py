"""Follows a table's replication slot and confirms a position only after it was delivered.

    python replicate.py products semilayer_products id

lens, slot (and publication of the same name), then the columns of the lens's primary key. Reads
DATABASE_URL, SEMILAYER_URL and SEMILAYER_INGEST_KEY. May be killed at any instruction: the server
sends again, whole transactions at a time, whatever was not confirmed.
"""

from __future__ import annotations

import math
import os
import select
import sys
import time
from collections.abc import Sequence
from contextlib import closing

import psycopg2
from pgoutput import Decoder, UnreadableStream
from psycopg2.extras import LogicalReplicationConnection, ReplicationCursor

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

FLUSH_CHANGES = 1_000
FLUSH_SECONDS = 2.0
PAUSE_SECONDS = 2.0
# Both together stay well below the server's wal_sender_timeout of 60 s, within which it wants to
# hear from us.
REQUEST_SECONDS, GIVE_UP_SECONDS = 15.0, 10.0


def follow(cursor: ReplicationCursor, client: IngestClient, key: Sequence[str]) -> None:
    """Deliver and confirm until the database fails or the service refuses."""
    decoder = Decoder(key)
    read = confirmed = 0  # log positions: behind the last whole transaction; told to the server
    waiting, since = 0, time.monotonic()
    while True:
        message = cursor.read_message()
        transaction = decoder.read(message.payload) if message else None
        if transaction:
            if read == confirmed:
                since = time.monotonic()
            waiting, read = waiting + len(transaction.changes), transaction.end
            hand_over(transaction.changes, client)
        if read > confirmed and (
            waiting >= FLUSH_CHANGES or time.monotonic() - since >= FLUSH_SECONDS
        ):
            deliver(client, cursor)
            cursor.send_feedback(flush_lsn=read, force=True)
            waiting, confirmed = 0, read
        cursor.send_feedback()  # says that we live, when it is time to
        if message is None:
            select.select([cursor], [], [], 0.2)


def hand_over(changes: Sequence[tuple[str, str]], client: IngestClient) -> None:
    """Buffer a whole transaction's changes."""
    try:
        client.add(change for id, action in changes if (change := sendable(id, action)))
    except DeliveryFailed as failure:  # of a buffer that was full; all of them are kept
        say(str(failure))


def sendable(id: str, action: str) -> Change | None:
    """Return the change; `None`, and a word about it, when the service cannot take its id."""
    try:
        return Change(id, Action(action))
    except InvalidChange as fault:
        say(f"left out, it would hold up all others: {fault.message}")
        return None


def deliver(client: IngestClient, cursor: ReplicationCursor) -> None:
    """Flush for as long as it takes. Nothing more is read meanwhile: the server keeps its log."""
    while True:
        try:
            client.flush()
        except DeliveryFailed as failure:
            say(str(failure))
            cursor.send_feedback(force=True)  # confirms nothing new
        else:
            return


def main(lens: str, slot: str, key: Sequence[str]) -> int:
    """Follow for ever; return 1 when the service refuses or a setting is wrong."""
    try:
        names = ("DATABASE_URL", "SEMILAYER_URL", "SEMILAYER_INGEST_KEY")
        dsn, url, secret = (os.environ[name] for name in names)
    except KeyError as missing:
        return say(f"the environment variable {missing} is not set.")
    times = {"timeout": REQUEST_SECONDS, "give_up_after": GIVE_UP_SECONDS}
    while True:
        try:
            # A new client each time: the server sends again whatever this one still holds.
            client = IngestClient(url, secret, lens, flush_after=math.inf, **times)
            connection = psycopg2.connect(dsn, connection_factory=LogicalReplicationConnection)
            with closing(connection), client, connection.cursor() as cursor:
                options = {"proto_version": "1", "publication_names": slot}
                cursor.start_replication(slot, options=options)
                follow(cursor, client, key)
        except (ConfigError, RequestRefused, UnreadableStream) as error:
            return say(str(error))
        except psycopg2.ProgrammingError as error:
            return say(f"{redact(str(error).strip())}. Was setup.sql run in this database?")
        except (psycopg2.OperationalError, psycopg2.InterfaceError) as failure:
            say(f"{redact(str(failure).strip())}. Next try in {PAUSE_SECONDS:.0f} s.")
            time.sleep(PAUSE_SECONDS)


def say(message: str) -> int:
    """Write to standard error; return the exit code of a failure."""
    print(f"replicate: {message}", file=sys.stderr, flush=True)
    return 1


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit("usage: python replicate.py LENS SLOT KEY_COLUMN...")
    try:
        sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3:]))
    except KeyboardInterrupt:
        sys.exit(130)  # what was not confirmed is sent again
