"""The service tells how its model reads, so that runs without the model can cut long texts."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from semilayer_pipelines.config.embedding import EmbeddingConfig
from semilayer_pipelines.config.models import SourceConfig
from semilayer_pipelines.control import lifecycle
from semilayer_pipelines.control.check import lens_check
from semilayer_pipelines.embedder_service import Opened, open_model
from semilayer_pipelines.embedders import open_embedder
from semilayer_pipelines.embedders.local import engines
from semilayer_pipelines.embedders.local.sentence_transformers import SentenceTransformersEmbedder
from semilayer_pipelines.embedders.served import KEY_VARIABLE
from semilayer_pipelines.errors import EmbedderUnavailable, ModelUnavailable, ReadingUnknown
from semilayer_pipelines.queries.audit import audit
from semilayer_pipelines.queries.explain import explain
from semilayer_pipelines.registry import generations, sources
from semilayer_pipelines.registry.generations import Generation
from semilayer_pipelines.registry.lenses import Needs
from semilayer_pipelines.stores.chunks.store import ChunkedStore
from semilayer_pipelines.stores.protocol import KEY
from tests.embedder_service.service import Service, running, wait_until_ready
from tests.embedders.test_warm import unused_url
from tests.embedders.tiny_transformer import LIMIT, save_tiny_transformer
from tests.ingest.chunked import row_index, wrong
from tests.kept_graphs import use_own_cache
from tests.lab import ENV, Lab

NAME = "nobody/tiny"
CONFIG = EmbeddingConfig(model=NAME)
LONG = "north east south west keeps the vectors of a search index. " * 12
ROWS = 12


@pytest.fixture(autouse=True)
def _a_machine_without_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    use_own_cache(tmp_path / "cache", monkeypatch)
    monkeypatch.setenv("SENTENCE_TRANSFORMERS_HOME", str(tmp_path / "nothing"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    yield
    engines._opened.clear()


@contextmanager
def serving(
    folder: Path, *, key: str | None = None, tells: bool = True, **model: object
) -> Iterator[Service]:
    """Serve a tiny model under the name of one on the hub, which is nowhere else."""
    at = save_tiny_transformer(folder / "served", **model)  # type: ignore[arg-type]

    def opening() -> Opened:
        opened = open_model(EmbeddingConfig(model=str(at)))
        space = SentenceTransformersEmbedder(CONFIG).space
        written = opened.model.reading or b""
        told = written.replace(opened.model.fingerprint.encode(), space.encode())
        named = replace(opened.model, name=NAME, fingerprint=space)
        return replace(opened, model=replace(named, reading=told if tells else None))

    with running(opening, key=key) as service:
        if key is not None:
            service.http.headers["authorization"] = f"Bearer {key}"
        wait_until_ready(service)
        yield service


def test_a_run_without_the_models_files_reads_as_the_model_does(tmp_path: Path) -> None:
    prompts = {"document": "rows of a table ", "query": "search "}
    with serving(tmp_path, prompts=prompts, default_prompt_name="document") as service:
        through = open_embedder(CONFIG, environ={}, service=service.url)
        reading = through.reading()
        told = service.http.get("/v1/reading", params={"model": NAME}).json()

    own = open_embedder(EmbeddingConfig(model=str(tmp_path / "served/model")), environ={}).reading()
    assert reading is not None
    assert own is not None
    assert (reading.limit, reading.special, reading.plain) == (LIMIT, 2, "rows of a table ")
    assert (own.limit, own.special, own.plain) == (LIMIT, 2, "rows of a table ")
    assert reading.tokenizer.encode(LONG).ids == own.tokenizer.encode(LONG).ids
    assert told["reading"]["special"] == 2


def test_it_is_kept_so_that_the_next_run_needs_no_service(tmp_path: Path) -> None:
    with serving(tmp_path) as service:
        url = service.url
        open_embedder(CONFIG, environ={}, service=url).reading()

    kept = open_embedder(CONFIG, environ={}, service=url).reading()

    assert kept is not None
    assert kept.limit == LIMIT


def test_what_is_kept_and_damaged_is_asked_for_again(tmp_path: Path) -> None:
    with serving(tmp_path) as service:
        open_embedder(CONFIG, environ={}, service=service.url).reading()
        [file] = (tmp_path / "cache").rglob("readings/*.json")
        for damage in (b"", b"{", file.read_bytes().replace(b"WordPiece", b"WordPeace")):
            file.write_bytes(damage)
            again = open_embedder(CONFIG, environ={}, service=service.url).reading()
            assert again is not None


def test_the_key_and_the_model_are_checked_as_everywhere(tmp_path: Path) -> None:
    with serving(tmp_path, key="k-1") as service:
        keyless = open_embedder(CONFIG, environ={}, service=service.url)
        with pytest.raises(ModelUnavailable, match="refuses the key"):
            keyless.reading()
        with_key = open_embedder(CONFIG, environ={KEY_VARIABLE: "k-1"}, service=service.url)
        assert with_key.reading() is not None
        other = service.http.get("/v1/reading", params={"model": "another"})
        none = service.http.get("/v1/reading")

    assert (other.status_code, other.json()["error"]["code"]) == (404, "model_not_found")
    assert (none.status_code, none.json()["error"]["param"]) == (400, "model")


def test_a_service_that_does_not_know_leaves_it_unknown(tmp_path: Path) -> None:
    with serving(tmp_path, tells=False) as service:
        with pytest.raises(ReadingUnknown, match="Name an embedder of this version"):
            open_embedder(CONFIG, environ={}, service=service.url).reading()
        other = EmbeddingConfig(model="nobody/other")
        with pytest.raises(ReadingUnknown):
            open_embedder(other, environ={}, service=service.url).reading()


def test_a_service_that_is_away_is_waited_for_and_nothing_is_written_whole() -> None:
    away = open_embedder(CONFIG, environ={}, service=unused_url())

    with pytest.raises(EmbedderUnavailable, match="does not answer"):
        away.reading()


def lab_at(folder: Path, url: str) -> Lab:
    """A lens of which most rows are too long for the model, which only the service has."""
    return Lab.at(
        folder,
        rows=ROWS,
        environ={"SEMILAYER_EMBEDDER_URL": url},
        embedding={"model": NAME},
        shards=2,
    )


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Callable[[bool], Lab]]:
    """Open one project with services of which one tells how its model reads."""
    with serving(tmp_path / "new") as new, serving(tmp_path / "old", tells=False) as old:
        made = lab_at(tmp_path, new.url)
        with made.source() as db:
            db.execute("UPDATE items SET description = ? WHERE id % 3 <> 0", (LONG,))
            db.execute("UPDATE items SET name = 'a', description = 'b' WHERE id % 3 = 0")

        def lab(tells: bool) -> Lab:
            # As on another machine: nothing was kept there.
            for kept in (tmp_path / "cache").rglob("readings/*.json"):
                kept.unlink()
            url = new.url if tells else old.url
            return Lab.opened(tmp_path, {"SEMILAYER_EMBEDDER_URL": url})

        yield lab


def active(lab: Lab) -> Generation:
    with lab.project.registry.read() as db:
        found = generations.active(db, lab.lens.id)
    assert found is not None
    return found


def needs(lab: Lab) -> Needs:
    with lens_check(lab.project, ENV, sources_of(lab)) as check:
        return check.needs(lab.lens.config, active(lab), moved=False)


def sources_of(lab: Lab) -> dict[str, SourceConfig]:
    with lab.project.registry.read() as db:
        return {"main": sources.get(db, lab.lens.env_id, "main")}


def change(lab: Lab, what: str, *ids: int) -> None:
    with lab.source() as db:
        db.execute(f"UPDATE items SET {what} WHERE id IN {(*ids, -1)}")


def test_a_project_whose_models_run_in_the_service_alone_cuts_long_rows(
    served: Callable[[bool], Lab],
) -> None:
    lab = served(True)

    done = lab.full().counts

    assert (done.written, done.truncated) == (ROWS, 0)
    assert wrong(lab) == []
    assert needs(lab) is Needs.NOTHING


def test_beside_an_older_service_rows_are_written_whole_with_one_warning(
    served: Callable[[bool], Lab], caplog: pytest.LogCaptureFixture
) -> None:
    lab = served(False)

    done = lab.full().counts

    assert (done.written, done.truncated) == (ROWS, ROWS - ROWS // 3)
    [told] = [r for r in caplog.records if "long texts are not cut" in r.getMessage()]
    assert told.levelno == logging.WARNING
    assert "semilayer sync --lens items" in told.getMessage()
    assert lab.sync().counts.written == 0
    assert needs(lab) is Needs.NOTHING  # nobody there could say otherwise
    # When a run can cut.
    able = served(True)
    assert needs(able) is Needs.SMART_SYNC
    assert able.sync().counts.written == ROWS - ROWS // 3
    assert wrong(able) == []
    assert needs(able) is Needs.NOTHING


def test_who_cannot_cut_leaves_the_chunks_of_rows_whose_text_is_the_same(
    served: Callable[[bool], Lab],
) -> None:
    served(True).full()
    before = row_index(served(True)).vectors()
    unable = served(False)

    assert unable.sync().counts.written == 0
    assert unable.sync().counts.written == 0
    found = audit(unable.project, unable.lens)
    assert found.in_line
    assert explain(unable.project, ENV, "items", "1").cut_as_now
    assert active(unable).split_by != generations.MIXED
    # When what is no text changes of rows that are cut.
    change(unable, "price = -1", 1, 2, 3)
    done = unable.sync().counts
    assert (done.written, done.embedded) == (3, 0)
    assert row_index(unable).vectors() == before
    # And when all is built again.
    done = unable.full().counts
    assert (done.written, done.embedded, done.truncated) == (ROWS, 0, 0)
    assert row_index(unable).vectors() == before
    able = served(True)
    assert wrong(able) == []
    assert needs(able) is Needs.SMART_SYNC
    assert able.sync().counts.written == 0
    assert needs(able) is Needs.NOTHING


def test_a_long_text_that_changes_where_nobody_can_cut_is_found_by_its_beginning_until_one_can(
    served: Callable[[bool], Lab],
) -> None:
    served(True).full()
    unable = served(False)
    change(unable, f"description = '{LONG} rows'", 1)

    done = unable.sync().counts

    assert (done.written, done.truncated) == (1, 1)
    index = row_index(unable)
    assert index.chunks_of(["1"]).height == 0
    assert index.chunks_of(["2"]).height > 1
    assert active(unable).split_by == generations.MIXED
    able = served(True)
    assert needs(able) is Needs.SMART_SYNC
    assert able.sync().counts.written == 1
    assert wrong(able) == []


@pytest.mark.parametrize("first", [True, False])
def test_a_rebuild_that_some_runs_cut_and_some_cannot_is_finished_and_then_synced(
    served: Callable[[bool], Lab], first: bool
) -> None:
    begun = served(first)
    job = lifecycle.request_rebuild(begun.project, ENV, "items")
    begun.run(job, shard=0)
    building = begun.building()
    assert building is not None

    served(not first).run(job, shard=1)

    able = served(True)
    assert active(able).id == building.id
    assert needs(able) is Needs.SMART_SYNC
    able.sync()
    assert wrong(able) == []
    assert needs(able) is Needs.NOTHING


def test_chunks_that_are_lost_are_not_taken_for_kept_ones(
    served: Callable[[bool], Lab],
) -> None:
    served(True).full()
    unable = served(False)
    store = cast(ChunkedStore, unable.project.store(ENV))
    raw = store.inner.open(f"{unable.index.name}-chunks")
    lost = [k for f in raw.scan() for k in f[KEY] if k.startswith("1:") and k.endswith(":1")]
    with raw.lock():
        raw.delete(lost)

    assert unable.sync().counts.written == 1

    able = served(True)
    assert able.sync().counts.written == 1
    assert wrong(able) == []
