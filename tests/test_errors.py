"""Errors as sentences: one full stop at the end, whatever a driver's own text ended with."""

from __future__ import annotations

import pytest

from semilayer_pipelines.errors import ConfigError, ObjectsRejected


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("The job failed: 4 rows would be deleted..", "The job failed: 4 rows would be deleted."),
        ("The driver said: what?.", "The driver said: what?"),
        ("The driver said: no!.", "The driver said: no!"),
        ("It goes on...", "It goes on..."),
        ("It goes on.", "It goes on."),
        ("sl.config.yaml:3: a: unknown key", "sl.config.yaml:3: a: unknown key"),
        ("..", "."),
        ("", ""),
    ],
)
def test_a_message_ends_with_one_full_stop(given: str, message: str) -> None:
    error = ConfigError(given, cure="Do this.")

    assert error.message == message
    assert str(error) == f"{message} Do this."


def test_so_does_one_that_is_composed() -> None:
    assert ObjectsRejected({"a": "It is too long."}, written=3).message.endswith("too long.")
