"""The small parts of the console's pages: sentences with buttons in them, plots, values."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from webhook.console.cures import parts
from webhook.console.plot import HEIGHT, bars, line
from webhook.console.render import SHOWN_CHARACTERS, ago, number, value


@pytest.mark.parametrize(
    ("cure", "told"),
    [
        ("`semilayer resume --lens items`", "[Resume]"),
        ("Rebuild it: semilayer resume --lens items", "Rebuild it: [Resume]"),
        ("confirm: `semilayer sync --lens a --confirm-deletes`.", "confirm: [Allow the deletes]."),
        ("Rebuild the lens: `semilayer push --rebuild`.", "Rebuild the lens: [Rebuild]."),
        ("Start it with `semilayer dev`, or wait.", "Start it with <semilayer dev>, or wait."),
        ("`semilayer jobs` shows it; `semilayer status` too.", "[Jobs] shows it; [Lenses] too."),
        ("Nothing to be done here.", "Nothing to be done here."),
        ("", ""),
    ],
)
def test_a_command_in_a_cure_becomes_the_button_that_does_it(cure: str, told: str) -> None:
    marks = {"text": "{}", "button": "[{}]", "command": "<{}>"}

    assert "".join(marks[part.kind].format(part.text) for part in parts(cure)) == told


def test_bars_are_as_high_as_their_values_and_none_is_nothing() -> None:
    drawn = bars([0, 10, 5])

    assert drawn.path.count("M") == 2
    assert (drawn.highest, drawn.last, drawn.empty) == (10, 5, False)
    assert bars([]).empty
    assert bars([0, 0]).empty


def test_a_line_breaks_where_nothing_is_known() -> None:
    drawn = line([None, 4.0, 2.0, None, 1.0])

    assert drawn.path.count("M") == 2
    assert f"{HEIGHT / 2 + 1:.1f}" in drawn.path  # half of the highest
    assert (drawn.highest, drawn.last) == (4.0, 1.0)
    assert line([None, None]).empty


def test_values_are_shown_as_a_reader_knows_them_and_never_whole_books() -> None:
    assert value("x" * (SHOWN_CHARACTERS + 5)).endswith("… and 5 characters more")
    assert value(b"\x00\x01") == "2 bytes"
    assert value(True) == "true"
    assert value({"a": [1, "ä"]}) == '{"a": [1, "ä"]}'
    assert [number(n) for n in (None, 0, 1234567, 0.25)] == ["?", "0", "1,234,567", "0.2"]


def test_a_time_is_told_from_now() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)

    told = [
        ago(at, now) for at in (None, now, now - timedelta(hours=3), now + timedelta(minutes=5))
    ]
    assert told == ["never", "now", "3 h ago", "in 5 min"]
