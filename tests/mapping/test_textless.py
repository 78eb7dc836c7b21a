"""Rows whose text shows nothing are apart from those that can be embedded, and nothing is wrong."""

from __future__ import annotations

from typing import Any

import pytest

from tests.mapping.making import mapped, reasons

NOTHING_TO_SEE = [
    None,
    "",
    "   ",
    "\n\t \r\n",
    "\u00a0\u2003\u3000",  # blanks of other widths
    "\u200b\ufeff\u00ad\u2060",  # of no width at all
    "\x00\x07",
    "\u2800\u3164",  # letters without a stroke
]
STRIP_HTML = {"type": "replace", "pattern": "<[^>]*>", "replacement": ""}
SOMETHING = [".", "0", "-", "é", "\u200bword", "  a  ", "👍", "한"]


def test_a_text_that_shows_nothing_is_none() -> None:
    values = [*NOTHING_TO_SEE, *SOMETHING]

    result = mapped({"type": "text", "searchable": True}, values)

    assert result.frame["v"].to_list() == SOMETHING
    assert result.textless["v"].to_list() == NOTHING_TO_SEE
    assert result.frame.columns == result.textless.columns
    assert not reasons(result)


@pytest.mark.parametrize(
    "html",
    ["<p></p>", "<br/>\u00a0", "<!-- to be written -->", "<div> <span>\u200b</span> </div>"],
)
def test_html_that_strips_to_nothing_is_no_text(html: str) -> None:
    field = {"type": "text", "searchable": True, "transform": STRIP_HTML}

    result = mapped(field, [html, "<p>A word</p>"])

    assert result.textless["_key"].to_list() == ["0"]
    assert result.frame["_key"].to_list() == ["1"]


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ({"type": "number"}, [None, 5]),
        ({"type": "text", "array": True}, [[], ["a"]]),
        ({"type": "text", "array": True}, [[" ", ""], ["a"]]),
        ({"type": "date"}, [None, "2024-05-01"]),
    ],
)
def test_fields_of_every_type_can_leave_a_row_without_a_text(
    field: dict[str, Any], values: list[Any]
) -> None:
    kind = "integer" if field["type"] == "number" else "other" if field.get("array") else "text"

    result = mapped({**field, "searchable": True}, values, kind)  # type: ignore[arg-type]

    assert result.textless["_key"].to_list() == ["0"]
    assert result.frame["_key"].to_list() == ["1"]


def test_a_row_with_a_fault_is_set_aside_and_not_textless() -> None:
    result = mapped({"type": "number", "searchable": True}, ["x", None], "text")

    assert result.failed["_key"].to_list() == ["0"]
    assert result.textless["_key"].to_list() == ["1"]
