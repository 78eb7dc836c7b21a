"""`semilayer search`, which only looks."""

from __future__ import annotations

from tests.cli.project import Folder


def test_search_finds_the_row_whose_text_it_is_given(indexed: Folder) -> None:
    # given the very text of a row, under a model whose only talent is to know equal texts
    with_text = indexed.json("search", "items", "amber", "--limit", "1")[0]["fields"]
    text = f"{with_text['name']}\n{with_text['description']}"

    # when
    best = indexed.json("search", "items", text, "--limit", "3")

    # then
    assert len(best) == 3
    assert best[0]["fields"] == with_text
    assert best[0]["score"] >= best[1]["score"] >= best[2]["score"]


def test_search_keeps_to_its_conditions(indexed: Folder) -> None:
    wanted = '{"category": "books", "price": {"$lt": 400}}'

    found = indexed.json("search", "items", "amber", "--limit", "50", "--where", wanted)

    assert found
    assert all(hit["fields"]["category"] == "books" for hit in found)
    assert all(hit["fields"]["price"] < 400 for hit in found)


def test_search_for_people_is_a_line_a_hit(indexed: Folder) -> None:
    lines = indexed.run("search", "items", "amber", "--limit", "4").stdout.splitlines()

    assert len(lines) == 4
    assert all(float(line.split()[0]) <= 1 for line in lines)
