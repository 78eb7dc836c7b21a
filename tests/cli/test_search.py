"""`semilayer search`, which only looks."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import run_queued
from tests.cli.project import Folder
from tests.workload import FIELDS


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


@pytest.fixture(scope="module")
def worded(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """A folder whose lens has keywords, indexed; tests only look at it."""
    folder = Folder.at(tmp_path_factory.mktemp("worded"), rows=60)
    fields = FIELDS | {"name": {"type": "text", "searchable": True, "keyword": "exact"}}
    folder.write(lenses={"items": {"fields": fields}})
    assert folder.run("push", "--resume-ingest").exit_code == 0
    run_queued(folder)
    return folder


def test_a_mode_and_a_least_score_are_taken_and_each_half_is_told(worded: Folder) -> None:
    name = worded.json("search", "items", "amber", "--limit", "9")[8]["fields"]["name"]

    by_words = worded.json("search", "items", name, "--mode", "keyword", "--limit", "5")
    both = worded.json("search", "items", name, "--limit", "5")
    least = str(by_words[0]["score"])
    best = worded.json("search", "items", name, "--mode", "keyword", "--min-score", least)

    assert by_words[0]["fields"]["name"] == both[0]["fields"]["name"] == name
    assert by_words[0]["bm25"] > 0
    assert by_words[0]["similarity"] is None
    assert both[0]["bm25"] > 0
    assert 0 < both[0]["score"] <= 1
    assert [hit["id"] for hit in best] == [by_words[0]["id"]]


def test_a_mode_that_the_index_has_no_words_for_is_refused_with_the_cure(indexed: Folder) -> None:
    refused = indexed.run("search", "items", "amber", "--mode", "hybrid")
    misspelt = indexed.run("search", "items", "amber", "--mode", "hybird")

    assert refused.exit_code == 3
    assert "needs keywords" in refused.output
    assert "keyword: true" in refused.output
    assert misspelt.exit_code == 2
    assert "hybird" in misspelt.output


def test_a_push_says_that_keywords_need_a_rebuild_that_embeds_nothing(tmp_path: Path) -> None:
    folder = Folder.at(tmp_path, rows=20)
    folder.run("push", "--resume-ingest")
    run_queued(folder)
    fields = FIELDS | {"name": {"type": "text", "searchable": True, "keyword": True}}
    folder.write(lenses={"items": {"fields": fields}})

    said = folder.run("push")

    assert "its keywords need a rebuild, which takes all vectors over" in said.output
    assert "semilayer resume --lens items" in said.output
