"""A store that is a server and is away, or says no: what the command tells in the first hour."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from semilayer_pipelines.cli import asked_store
from tests.cli.conftest import run_queued
from tests.cli.project import Folder
from tests.weaviate_double.server import Double

AWAY = {
    "SEMILAYER_STORE": "weaviate",
    "WEAVIATE_URL": "http://127.0.0.1:9",
    "WEAVIATE_GRPC_URL": "http://127.0.0.1:10",
}


@pytest.fixture
def double() -> Iterator[Double]:
    with Double.serving() as running:
        yield running


@pytest.fixture
def served(folder: Folder, double: Double) -> Folder:
    """A folder whose store is the double."""
    folder.environ |= double.environ | {"SEMILAYER_STORE": "weaviate"}
    return folder


@pytest.fixture
def hanging() -> Iterator[dict[str, str]]:
    """Settings of a server that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=50) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        yield AWAY | {"WEAVIATE_URL": url}


def test_a_push_of_new_lenses_needs_the_store(folder: Folder) -> None:
    folder.environ |= AWAY
    pushed = folder.run("push")
    assert pushed.exit_code != 0
    assert "Weaviate at 127.0.0.1:9" in pushed.output
    # Nothing was registered.
    assert folder.json("status")["lenses"] == []


def test_the_mistakes_of_a_lens_come_before_the_stores(folder: Folder) -> None:
    folder.environ |= AWAY
    folder.write(lenses={"items": {"table": "itmes"}})
    assert "did you mean 'items'" in folder.run("push").output


def test_a_push_of_what_is_there_already_does_without_the_store(served: Folder) -> None:
    assert served.run("push").exit_code == 0
    served.environ |= AWAY
    again = served.run("push")
    assert again.exit_code == 0, again.output
    assert "unchanged" in again.stdout


def test_a_push_names_the_permission_that_is_lacking(served: Folder, double: Double) -> None:
    everything = [
        {"action": f"{verb}_{what}", **resource}
        for what, resource in {
            "collections": {"collections": {"collection": "*"}},
            "data": {"data": {"collection": "*", "object": "*", "tenant": "*"}},
            "aliases": {"aliases": {"alias": "*", "collection": "*"}},
        }.items()
        for verb in ("create", "read", "update", "delete")
    ]
    few = [each for each in everything if each["action"] != "create_aliases"]
    double.role.told = [{"name": "few", "permissions": few}]
    pushed = served.run("push")
    assert pushed.exit_code != 0
    assert "lacks create_aliases for Development_items*" in pushed.output

    double.role.told = [{"name": "enough", "permissions": everything}]
    assert served.run("push").exit_code == 0


def test_a_quantizer_that_the_index_cannot_have_is_told_at_push(served: Folder) -> None:
    served.environ |= {"WEAVIATE_INDEX": "flat", "WEAVIATE_QUANTIZATION": "pq"}
    pushed = served.run("push")
    assert pushed.exit_code != 0
    assert "WEAVIATE_QUANTIZATION=pq does not go with WEAVIATE_INDEX=flat" in pushed.output


def test_status_says_in_one_line_that_the_store_is_away_and_tells_the_rest(served: Folder) -> None:
    served.run("push", "--resume-ingest")
    run_queued(served)
    assert served.json("status")["lenses"][0]["vectors"] == 20
    assert "store" not in served.json("status")

    served.environ |= AWAY
    told = served.run("status")
    assert told.exit_code == 0, told.output
    assert told.stdout.count("store: ") == 1
    assert "items" in told.stdout
    document = served.json("status")
    assert document["lenses"][0]["vectors"] is None
    assert "127.0.0.1:9" in document["store"]


def test_status_does_not_hang_with_the_server(
    served: Folder, hanging: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asked_store, "STORE_SECONDS", 1.0)
    served.run("push")
    served.environ |= hanging
    told = served.run("status")
    assert "store: no answer within 1 s." in told.stdout


def test_init_writes_the_file_and_says_what_the_store_lacks(tmp_path: Path) -> None:
    folder = Folder.at(tmp_path, rows=3)
    (tmp_path / "sl.config.yaml").unlink()
    folder.environ |= AWAY
    made = folder.run("init", "--connection", "sqlite:///source.db")
    assert made.exit_code == 0, made.output
    assert (tmp_path / "sl.config.yaml").is_file()
    assert "The store cannot hold them yet: Weaviate at 127.0.0.1:9" in made.stdout


def test_init_says_nothing_of_a_store_that_is_fine(tmp_path: Path) -> None:
    folder = Folder.at(tmp_path, rows=3)
    (tmp_path / "sl.config.yaml").unlink()
    made = folder.run("init", "--connection", "sqlite:///source.db", "--json")
    assert "store" not in json.loads(made.stdout)
