"""Every snippet of docs/python.md is run as it stands there, in the order of the page."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

import semilayer_pipelines
from semilayer_pipelines.project import Project
from semilayer_pipelines.queries.search import search
from tests.webhook.server import Place

PAGE = Path(__file__).resolve().parents[1] / "docs" / "python.md"
TEXT = PAGE.read_text(encoding="utf-8")
SNIPPETS = dict(
    re.findall(r"^##+ ([^\n]+)\n(?:(?!^##).)*?```python\n(.*?)```", TEXT, re.MULTILINE | re.DOTALL)
)
ROWS = [(1, "Down jacket", 180), (2, "Rain cape", 60), (3, "Wool coat", 95), (4, "Sandals", 30)]
CONFIG = {
    "stack": "shop",
    "lenses": {
        "products": {
            "source": "main",
            "table": "products",
            "changeTrackingColumn": "updated_at",
            "embedding": {"provider": "hash"},
            "fields": {
                "title": {"type": "text", "searchable": True},
                "price": {"type": "number"},
            },
        }
    },
}


@dataclass(frozen=True)
class Shop:
    """The folder that the snippets are run in; `shop` and `test-shop` are the projects in it."""

    folder: Path

    @classmethod
    def at(cls, folder: Path) -> Shop:
        for name in ("shop", "test-shop"):
            (folder / name).mkdir()
            database = folder / name / "shop.db"
            with closing(sqlite3.connect(database)) as db, db:
                db.execute(
                    "CREATE TABLE products (id INTEGER PRIMARY KEY, title TEXT, price INTEGER, "
                    "updated_at TEXT DEFAULT '2024-01-01 00:00:00')"
                )
                db.executemany("INSERT INTO products (id, title, price) VALUES (?, ?, ?)", ROWS)
            sources = {"main": {"bridge": "sql", "connection": f"sqlite:///{database}"}}
            # JSON is YAML.
            text = json.dumps(CONFIG | {"sources": sources})
            (folder / name / "sl.config.yaml").write_text(text, encoding="utf-8")
        return cls(folder)

    @property
    def project(self) -> Project:
        return Project.at(self.folder / "shop")

    def python(self, *arguments: str, **environ: str) -> str:
        """Run Python in the folder; return what it prints, which must be no complaint."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("SEMILAYER_", "DAGSTER_"))}
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=self.folder,
            env=kept | environ,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def snippet(self, heading: str, **environ: str) -> str:
        """Run the snippet under a heading of the page."""
        file = self.folder / "snippet.py"
        file.write_text(SNIPPETS[heading], encoding="utf-8")
        return self.python(file.name, **environ)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """The shop after the first snippet, which pushes and fills."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("SEMILAYER_")]:
            patch.delenv(name)
        made = Shop.at(tmp_path_factory.mktemp("page"))
        first = made.snippet("Read a lens, sync it, search it").splitlines()
        assert first[0] == "paused"
        assert "read=4" in first[1]
        assert "written=4" in first[1]
        assert {line.split(maxsplit=1)[1] for line in first[2:]} == {
            "2 Rain cape",
            "3 Wool coat",
            "4 Sandals",
        }
        yield made


def test_the_snippets_of_the_page_are_these() -> None:
    assert set(SNIPPETS) == {
        "Read a lens, sync it, search it",
        "Choose how rows are read",
        "When something is wrong",
        "Tell it of a change",
        "In your own Dagster definitions",
        "Replace the project in a test",
    }
    assert len(SNIPPETS) == TEXT.count("```python")


def test_the_page_tells_of_every_name() -> None:
    table = TEXT.split("## All names")[1]

    told = set(re.findall(r"`(\w+)`", table.split("Import them")[0]))

    assert told - {"Definitions"} == set(semilayer_pipelines.__all__)


def test_a_mode_is_chosen(shop: Shop) -> None:
    assert shop.snippet("Choose how rows are read").startswith("completed ")


def test_an_error_tells_its_cure(shop: Shop) -> None:
    told = shop.snippet("When something is wrong")

    assert "did you mean 'products'" in told
    assert "Traceback" not in told


def test_a_change_is_told_to_the_webhook(shop: Shop) -> None:
    # given the service of this project
    project = Project.at(shop.folder / "shop", env="test")
    semilayer_pipelines.push_config(project)
    place = Place.of(project)

    # when
    with place.serving() as server:
        shop.snippet("Tell it of a change", INGEST_URL=server.url, INGEST_KEY=place.ik)

    # then both rows wait to be read
    assert semilayer_pipelines.read_lens(project, "products").buffered == 2


def test_lenses_stand_in_a_persons_own_definitions(shop: Shop) -> None:
    # given the snippet as the file of a code location
    file = shop.folder / "definitions.py"
    file.write_text(SNIPPETS["In your own Dagster definitions"], encoding="utf-8")

    # when Dagster loads it, and the asset that uses the resource is materialised
    shop.python("-m", "dagster", "definitions", "validate", "-f", file.name)
    told = shop.python(
        "-c",
        "import dagster as dg, definitions\n"
        "job = definitions.defs.resolve_implicit_global_asset_job_def()\n"
        "job = job.get_subset(asset_selection={dg.AssetKey('coats')})\n"
        "run = job.execute_in_process(instance=dg.DagsterInstance.ephemeral())\n"
        "(made,) = run.asset_materializations_for_node('coats')\n"
        "print(made.metadata['found'].value)",
    )

    # then it found what a search finds
    assert told == f"{len(search(shop.project, 'products', 'a warm coat'))}\n"


def test_a_test_replaces_the_project(shop: Shop) -> None:
    # given a small project that is filled, and a row that is new there
    small = Project.at(shop.folder / "test-shop")
    semilayer_pipelines.push_config(small)
    semilayer_pipelines.sync(small, "products")
    with closing(sqlite3.connect(shop.folder / "test-shop" / "shop.db")) as db, db:
        db.execute("INSERT INTO products (id, title, price) VALUES (5, 'Scarf', 20)")

    # when
    shop.snippet("Replace the project in a test")

    # then the row is in the index of that project, and in no other
    assert "5" in {hit.id for hit in search(small, "products", "scarf")}
    assert "5" not in {hit.id for hit in search(shop.project, "products", "scarf")}
