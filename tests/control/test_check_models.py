"""A push says whether there is a model of the name that a lens gives."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

import pytest

from semilayer_pipelines.embedders.local import hub as hub_module
from semilayer_pipelines.embedders.local.model_source import ModelSource, Origin
from semilayer_pipelines.errors import ModelUnavailable
from tests.cli.project import Folder

MODELS = {"some/model": {"v1"}, "sentence-transformers/short-name": set[str]()}


@dataclass
class Hub:
    """A hub that answers as the real one does; with `silent` it takes requests and says nothing."""

    url: str
    asked: list[str] = field(default_factory=list)
    silent: threading.Event = field(default_factory=threading.Event)
    over: threading.Event = field(default_factory=threading.Event)

    def answer(self, path: str) -> tuple[int, str, str]:
        """Return status, error code and body for a path below `/api/models/`."""
        if path.startswith("/"):  # not about a model
            return 404, "", ""
        self.asked.append(path)
        name, _, revision = unquote(path).partition("/revision/")
        if name == "locked/model":  # as a mirror that wants another password
            return 401, "", ""
        if name == "gated/model":
            return 403, "GatedRepo", ""
        if name not in MODELS:
            return 401, "RepoNotFound", ""
        if revision and revision not in MODELS[name]:
            return 404, "RevisionNotFound", ""
        return 200, "", json.dumps({"id": name})


@pytest.fixture
def hub() -> Iterator[Hub]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if found.silent.is_set():
                found.over.wait()
                return
            status, code, body = found.answer(self.path.removeprefix("/api/models/"))
            self.send_response(status)
            if code:
                self.send_header("X-Error-Code", code)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        found = Hub(f"http://127.0.0.1:{server.server_address[1]}")
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield found
        found.over.set()
        server.shutdown()


@pytest.fixture
def folder(tmp_path: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> Folder:
    # The library reads HF_ENDPOINT when it is imported.
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", hub.url)
    made = Folder.at(tmp_path, rows=1)
    made.environ["SENTENCE_TRANSFORMERS_HOME"] = str(tmp_path / "models")
    return made


def named(folder: Folder, **keys: object) -> None:
    folder.write(lenses={"items": keys})


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        (
            {"embedding": {"model": "nobody/none"}},
            "lenses.items.embedding.model: The hub has no model nobody/none@main.",
        ),
        (
            {"embedding": {"model": "none"}},
            "The hub has no model sentence-transformers/none@main.",
        ),
        (
            {"embedding": {"provider": "static", "model": "nobody/none"}},
            "The hub has no model nobody/none@main.",
        ),
        (
            {"embedding": {"model": "some/model", "revision": "v2"}},
            "The hub's model some/model has no revision 'v2'.",
        ),
        (
            {"embedding": {"model": "gated/model"}},
            "gives gated/model@main only to those who accepted its terms",
        ),
        (
            {"rerank": "no-reranker"},
            "lenses.items.rerank: The hub has no model cross-encoder/no-reranker@main.",
        ),
        ({"embedding": {"model": "not a name!"}}, "Repo id must use alphanumeric chars"),
        ({"embedding": {"model": "a" * 300}}, "Repo id must use alphanumeric chars"),
        ({"embedding": {"model": "/" + "a" * 300}}, "does not exist"),
        ({"embedding": {"model": "~nobody-here/model"}}, "does not exist"),
    ],
)
def test_a_model_that_there_is_not_is_refused_with_its_line(
    folder: Folder, keys: dict[str, object], told: str
) -> None:
    named(folder, **keys)

    done = folder.run("push")

    assert done.exit_code == 2
    assert "sl.config.yaml:" in done.stderr
    assert told in done.stderr
    assert folder.json("status")["lenses"] == []


def test_a_model_that_the_hub_has_is_asked_for_once_and_only_anew(folder: Folder, hub: Hub) -> None:
    model: dict[str, object] = {"embedding": {"model": "some/model", "revision": "v1"}}
    folder.write(lenses={"a": model, "b": model, "c": {"embedding": {"model": "short-name"}}})

    assert folder.run("push").exit_code == 0
    assert hub.asked == ["some/model/revision/v1", "sentence-transformers/short-name"]

    folder.write(lenses={"a": model | {"guard": 0.5}, "b": model})
    assert folder.run("push", "--allow-deletes").exit_code == 0
    assert len(hub.asked) == 2


def test_a_model_whose_files_are_here_needs_no_hub(folder: Folder, hub: Hub) -> None:
    cached = folder.path / "models" / "models--nobody--tiny"
    snapshot = cached / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text("{}")
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text("0" * 40)
    named(folder, embedding={"model": "nobody/tiny"})

    assert folder.run("push").exit_code == 0
    assert hub.asked == []


def test_a_hub_that_does_not_answer_is_waited_for_once_and_told(
    folder: Folder, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_module, "_REQUEST_SECONDS", 60.0)
    monkeypatch.setattr(hub_module, "_PATIENCE_SECONDS", 0.5)
    hub.silent.set()
    folder.write(
        lenses={name: {"embedding": {"model": f"some/{name}"}} for name in ("a", "b", "c")}
    )

    pushed = folder.json("push")

    assert [lens["change"] for lens in pushed["lenses"]] == ["created"] * 3
    for lens in pushed["lenses"]:
        assert f"some/{lens['name']} is not on this machine, and whether" in lens["unchecked"]
        assert "no answer in" in lens["unchecked"]


def test_the_password_of_a_mirror_is_told_to_nobody(
    folder: Folder, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    mirror = hub.url.replace("://", "://reader:hunter2@")
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", mirror)
    named(folder, embedding={"model": "locked/model"})

    pushed = folder.run("push")

    assert pushed.exit_code == 0, pushed.stderr
    assert "could not be checked" in pushed.stdout
    with pytest.raises(ModelUnavailable) as refused:
        hub_module.hub_has(ModelSource(Origin.HUB, "locked/model"))
    for told in (pushed.output, str(refused.value)):
        assert "401" in told
        assert "127.0.0.1" in told
        assert "hunter2" not in told


def test_the_service_that_embeds_may_have_what_the_hub_does_not_show(
    folder: Folder, hub: Hub
) -> None:
    folder.environ["SEMILAYER_EMBEDDER_URL"] = "http://127.0.0.1:1"
    named(folder, embedding={"model": "nobody/private"})

    done = folder.run("push")

    assert done.exit_code == 0, done.stderr
    assert "warning: The hub has no model nobody/private@main. The embedder service" in done.stdout
