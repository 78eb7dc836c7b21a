"""Whether a pooled connection still lives, asked of the server only where its socket cannot tell.

A server that ends a connection says so on its socket. So a connection that was in use a moment ago
costs no round trip. One that rested longer may have died without a word, and is asked.
"""

from __future__ import annotations

import select
import time
from typing import Any

from sqlalchemy import Engine, event
from sqlalchemy.exc import InvalidatePoolError

__all__ = ["RESTED_SECONDS", "check_at_checkout"]

RESTED_SECONDS = 1.0
"""A connection to PostgreSQL that nobody used for so long is asked whether it lives."""

_GIVEN_BACK = "given_back"


def check_at_checkout(engine: Engine) -> None:
    """Replace connections that died since they were given back, before anybody meets them."""
    dialect = engine.dialect

    def given_back(connection: Any, record: Any) -> None:
        record.info[_GIVEN_BACK] = time.monotonic()

    def taken(connection: Any, record: Any, _: object) -> None:
        since = record.info.get(_GIVEN_BACK)
        if since is None or (time.monotonic() - since < RESTED_SECONDS and _is_quiet(connection)):
            return
        try:
            dialect.do_ping(connection)
        except dialect.loaded_dbapi.Error as error:
            if dialect.is_disconnect(error, connection, None):
                # The pool gives a new one, and no other that is as old.
                raise InvalidatePoolError from error
            raise

    event.listen(engine, "checkin", given_back)
    event.listen(engine, "checkout", taken)


def _is_quiet(connection: Any) -> bool:
    """Say whether the server said nothing since the last answer, not even goodbye."""
    if connection.closed:
        return False
    listening = select.poll()
    listening.register(connection.fileno(), select.POLLIN)
    return not listening.poll(0)
