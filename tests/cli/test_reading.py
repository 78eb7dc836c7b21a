"""`status`, `jobs` and `search`, which only look."""

from __future__ import annotations

from pathlib import Path

from tests.cli.project import Folder


def test_status_shows_every_lens_and_the_queue(indexed: Folder) -> None:
    told = indexed.run("status").stdout

    line = next(line for line in told.splitlines() if line.startswith("items"))
    assert line.split()[1:3] == ["ready", "300"]
    assert "Queue: 0 active, 0 pending, 0 failed, 1 completed (24h)" in told


def test_status_as_json_has_the_numbers(indexed: Folder) -> None:
    told = indexed.json("status")

    (lens,) = told["lenses"]
    assert (lens["name"], lens["status"], lens["vectors"]) == ("items", "ready", 300)
    assert told["queue"] == {"active": 0, "pending": 0, "failed": 0, "completed24h": 1}


def test_nothing_is_folded_where_nobody_looks_at_a_terminal(tmp_path: Path) -> None:
    name = "a_lens_with_a_rather_long_name_such_as_people_give"
    folder = Folder.at(tmp_path, rows=3)
    folder.write(lenses={name: {}})
    folder.run("push")

    told = folder.run("status").stdout

    assert f"semilayer resume --lens {name}" in told


def test_an_empty_project_says_what_comes_first(folder: Folder) -> None:
    assert "semilayer push" in folder.run("status").stdout
    folder.run("push")
    assert "semilayer resume" in folder.run("jobs").stdout


def test_jobs_lists_and_a_few_characters_tell_ones_story(indexed: Folder) -> None:
    (job,) = indexed.json("jobs")
    assert (job["mode"], job["status"], job["counts"]["written"]) == ("full", "completed", 300)

    listed = indexed.run("jobs").stdout
    story = indexed.run("jobs", job["id"][:6]).stdout

    assert job["id"][:8] in listed
    assert job["id"] in story
    assert "300 written" in story
    assert indexed.json("jobs", job["id"][:6]) == job


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


def test_every_command_has_a_help_that_is_a_whole_sentence() -> None:
    from semilayer_pipelines.cli.main import main

    for name, command in main.commands.items():
        short = command.get_short_help_str(limit=70)
        assert short, name
        assert not short.endswith("..."), f"{name}: {short}"
        assert all(
            getattr(option, "help", "")
            for option in command.params
            if option.param_type_name == "option"
        ), name
