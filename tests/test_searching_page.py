"""Every example of docs/searching.md, run against LanceDB and against Weaviate.

Weaviate is our double unless `WEAVIATE_URL` names a server.
"""

from __future__ import annotations

import ast
import json
import os
import re
import shlex
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import uuid4

import polars as pl
import pytest
from ruamel.yaml import YAML
from starlette.testclient import TestClient

from semilayer_pipelines.errors import ConfigError
from semilayer_pipelines.mapping.tokens import query_tokens, token_texts
from semilayer_pipelines.project import Project
from semilayer_pipelines.queries.search import search
from semilayer_pipelines.stores.weaviate.settings import WeaviateSettings
from tests.cli.conftest import run_queued
from tests.cli.project import Folder
from tests.weaviate_double.server import Double
from webhook.app import build_app

PAGE = (Path(__file__).parents[1] / "docs" / "searching.md").read_text(encoding="utf-8")
ENV, LENS = "development", "articles"
MANUAL = " ".join(f"Chapter {n} tells how to send the parcel back." for n in range(40))
TITLES = "late stamps rain snow"
"""A word of each title."""


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def lens_of(name: str) -> dict[str, Any]:
    """Return the lens of that name that the page writes."""
    written = (YAML(typ="safe").load(block) for block in blocks("yaml"))
    [found] = [
        lenses[name] for each in written for lenses in (each.get("lenses", each),) if name in lenses
    ]
    return dict(found)


def table_under(title: str) -> list[tuple[str, str]]:
    """Return condition and expectation of each row of the table with these titles."""
    body = PAGE.split(f"| `where` | {title} |", 1)[1]
    rows = re.findall(r"^\| `(\{.*\})` \| (.*?) \|", body.split("\n\n", 1)[0], re.MULTILINE)
    assert len(rows) > 10
    return rows


EXAMPLES, REFUSED = table_under("rows"), table_under("message")


@pytest.fixture(scope="module", params=["lancedb", "weaviate"])
def folder(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Folder]:
    """Return a project with the page's table and lens, indexed."""
    here = Folder.at(tmp_path_factory.mktemp("page"))
    with closing(sqlite3.connect(here.database)) as db:
        db.executescript(blocks("sql")[0])
        db.execute("CREATE TABLE manuals (id INTEGER PRIMARY KEY, title TEXT, body TEXT)")
        db.execute("INSERT INTO manuals VALUES (17, 'Terms', ?), (18, 'Short', 'fits')", (MANUAL,))
        db.commit()
    hashed = {"embedding": {"provider": "hash"}}
    manuals = lens_of("manuals") | hashed | {"chunking": {"size": 32}}
    here.write(lenses={LENS: lens_of(LENS) | hashed, "manuals": manuals})
    if request.param == "lancedb":
        yield indexed(here)
        return
    here.environ |= {"SEMILAYER_STORE": "weaviate", "WEAVIATE_PREFIX": f"T{uuid4().hex[:10]}"}
    if "WEAVIATE_URL" in os.environ:
        told = {name: text for name, text in os.environ.items() if name.startswith("WEAVIATE_")}
        here.environ = told | here.environ
        yield indexed(here)
        store = here.project.store(ENV)
        for name in store.names():
            store.drop(name)
        return
    with Double.serving() as double:
        here.environ |= {k: v for k, v in double.environ.items() if k != "WEAVIATE_PREFIX"}
        yield indexed(here)


def indexed(folder: Folder) -> Folder:
    done = folder.run("push", "--resume-ingest")
    assert done.exit_code == 0, done.output
    run_queued(folder)
    return folder


@pytest.fixture(scope="module")
def project(folder: Folder) -> Project:
    return folder.project


@pytest.mark.parametrize(("condition", "rows"), EXAMPLES, ids=[each for each, _ in EXAMPLES])
def test_an_example_finds_the_rows_that_the_page_says(
    project: Project, condition: str, rows: str
) -> None:
    expected = [] if rows == "none" else rows.split(", ")

    found = search(project, LENS, "anything", where=json.loads(condition))
    two = search(project, LENS, "anything", limit=2, where=json.loads(condition))
    by_words = search(project, LENS, TITLES, mode="keyword", where=json.loads(condition))

    assert sorted(hit.id for hit in found) == expected
    assert len(two) == min(2, len(expected))
    assert sorted(hit.id for hit in by_words) == expected


@pytest.mark.parametrize(("condition", "message"), REFUSED, ids=[each for each, _ in REFUSED])
def test_a_condition_that_does_not_fit_is_refused_in_the_words_of_the_page(
    project: Project, condition: str, message: str
) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        search(project, LENS, "anything", where=json.loads(condition))


def test_every_operator_stands_in_the_page_and_among_its_examples() -> None:
    from semilayer_pipelines.stores.where import Operator

    told = PAGE.split("| operator |", 1)[1].split("\n\n", 1)[0]
    for operator in Operator:
        assert f"`{operator}`" in told
        assert any(f'"{operator}"' in condition for condition, _ in EXAMPLES), operator


def lines_of(command: str) -> list[list[str]]:
    text = "\n".join(blocks("console")).replace("\\\n", " ")
    found = [line[2:] for line in text.splitlines() if line.startswith(f"$ {command} ")]
    assert found
    return [shlex.split(line) for line in found]


def test_the_commands_of_the_page_run(folder: Folder) -> None:
    for words in lines_of("semilayer"):
        if words[1] != "search":
            continue
        done = folder.run(*words[1:])
        assert done.exit_code == 0, done.output
        assert {line.split()[1] for line in done.stdout.splitlines()} == {"1", "3"}


def test_the_calls_of_the_page_are_answered(folder: Folder) -> None:
    key = folder.run("keys", "create", "--type", "service", "--name", "page").stdout.split()[-1]
    with TestClient(build_app(folder.project)) as client:
        found = [
            [hit["id"] for hit in answer.json()["results"]]
            for words in lines_of("curl")
            for answer in [
                client.post(
                    "/v1/" + words[2].split("/v1/", 1)[1],
                    headers={"authorization": f"Bearer {key}"},
                    json=json.loads(words[words.index("-d") + 1]),
                )
            ]
        ]
    assert sorted(found[0]) == ["1", "3"]
    assert found[1:] == [["1"], ["2"]]


def test_the_programs_of_the_page_run(folder: Folder) -> None:
    plain, *direct = blocks("python")
    if folder.environ.get("SEMILAYER_STORE") == "weaviate":
        rows, chunks = (ported(program, folder) for program in direct[2:])
    else:
        rows, chunks = direct[:2]

    told = run_program(plain, folder)
    assert [line.split()[0] for line in told] == ["1", "1"]

    told = run_program(rows, folder)
    near, found = (ast.literal_eval(line) for line in told)
    assert {key for key, _ in near} == {"1", "3"}
    assert all(-1 <= similarity <= 1 for _, similarity in near)
    assert [key for key, _ in found] == ["1"]

    [line] = run_program(chunks, folder)
    [(key, field, start, end)] = ast.literal_eval(line)
    assert (key, field) == ("17", "body")
    assert 0 <= start < end <= len(MANUAL)


def run_program(text: str, folder: Folder) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", text],
        cwd=folder.path,
        env=folder.full_environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def ported(text: str, folder: Folder) -> str:
    """Return a program that asks the server of this test, by the name that the test gave."""
    where = WeaviateSettings.from_environ(folder.full_environ)
    for said, told in (
        ('"localhost"', f'"{where.http.host}"'),
        ("8080", str(where.http.port)),
        ("50051", str(where.grpc.port)),
        ("Development_", f"{folder.environ['WEAVIATE_PREFIX']}_Development_"),
    ):
        assert said in text
        text = text.replace(said, told)
    return text


WORDS = re.findall(
    r"^\| (`.*) \| (`.*) \| ?(.*) ?\|$", PAGE.split("| in the text |")[1], re.MULTILINE
)


@pytest.mark.parametrize(("text", "by", "not_by"), WORDS, ids=[text for text, _, _ in WORDS])
def test_the_page_says_rightly_what_finds_what(text: str, by: str, not_by: str) -> None:
    had = {*str(token_texts(pl.Series([text.strip("`")]), names=False)[0]).split(" ")}
    for query in re.findall(r"`([^`]+)`", by):
        assert had & {*query_tokens(query).words}, query
    for query in re.findall(r"`([^`]+)`", not_by)[:1]:
        assert not had & {*query_tokens(query).words} - {"c"}, query
