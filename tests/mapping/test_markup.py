"""HTML and JSON become the text that a person would read in them."""

from __future__ import annotations

import json

import pytest

from tests.mapping.making import values_of

HTML = {"type": "text", "transform": "htmlToText"}
JSON = {"type": "text", "transform": "jsonToText"}


def test_html_shows_what_a_browser_shows() -> None:
    page = """<html><head><title>tab</title><style>p {color: red}</style></head><body>
        <script>var a = "<p>never</p>"</script><!-- nor this -->
        <h1>Head &amp; more</h1><p>First <b>bo</b>ld&nbsp;one &eacute; &#8364;.<br>Next line
        <p>never closed<ul><li>one<li>two</ul>
        <table><tr><th>a<th>b<tr><td>1<td>2</table></body></html>"""

    (text,) = values_of(HTML, [page])

    assert text.splitlines() == [
        "Head & more",
        "",
        "First bold\u00a0one é €.",
        "Next line",
        "",
        "never closed",
        "",
        "  • one",
        "  • two",
        "a\t\tb",
        "1\t\t2",
    ]


@pytest.mark.parametrize(
    "plain", ["", "a < b and c > d", "two\n\nparagraphs\n  kept", "R&D, AT&T", "x <- 1 << 2"]
)
def test_a_text_without_tags_and_entities_stays_as_it_is(plain: str) -> None:
    assert values_of(HTML, [plain, None]) == [plain, None]


def test_html_that_is_wrong_or_deep_costs_no_row() -> None:
    wrong = ["<p", "</div></div>ok", "<" * 1_000, "<div>" * 100_000 + "deep", "<p>\0nul</p>"]

    texts = values_of(HTML, wrong)

    assert texts[1] == "ok"
    assert texts[3] == "deep"
    assert texts[4] == "nul"


def test_json_becomes_a_line_for_each_value() -> None:
    value = {
        "name": "Lamp",
        "size": {"height": 12.5, "unit": "cm"},
        "tags": ["desk", "led"],
        "parts": [{"id": 1}, {"id": 2, "spare": True}],
        "note": None,
        "empty": {},
        "quote": 'says "on"\nand ä',
    }

    (text,) = values_of(JSON, [json.dumps(value)])

    assert text.splitlines() == [
        "name: Lamp",
        "size.height: 12.5",
        "size.unit: cm",
        "tags: desk, led",
        "parts.id: 1",
        "parts.id: 2",
        "parts.spare: true",
        'quote: says "on"',
        "and ä",
    ]


@pytest.mark.parametrize(
    ("given_value", "expected"),
    [
        ('"a text"', "a text"),
        ("[1, 2.0, null, false]", "1, 2.0, false"),
        ("null", ""),
        ("{}", ""),
        ("no JSON", "no JSON"),
        ('{"cut": ', '{"cut": '),
        ("[" * 100_000, "[" * 100_000),
        (None, None),
    ],
)
def test_json_of_one_value_and_no_json(given_value: str | None, expected: str | None) -> None:
    assert values_of(JSON, [given_value]) == [expected]


def test_markup_in_a_list_is_read_element_by_element() -> None:
    field = {"type": "text", "array": True, "transform": "htmlToText"}

    assert values_of(field, ['["<b>a</b>", "b"]']) == [["a", "b"]]
