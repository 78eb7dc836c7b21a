"""An index keeps the prompt that it was built with; a rebuild takes the one that there is now."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from sqlalchemy import update

from semilayer_pipelines.cli.status_document import status_of
from semilayer_pipelines.config.models import ProjectConfig
from semilayer_pipelines.control.push import LensPush, plan_push
from semilayer_pipelines.embedders.local import engines
from semilayer_pipelines.embedders.local.probe import closeness
from semilayer_pipelines.queries.search import search
from semilayer_pipelines.registry import generations, tables
from semilayer_pipelines.registry.generations import Generation
from semilayer_pipelines.registry.jobs import Mode
from semilayer_pipelines.registry.lenses import Needs
from semilayer_pipelines.stores.protocol import KEY, VECTOR
from tests.embedders.tiny_transformer import save_tiny_transformer
from tests.lab import ENV, Lab
from tests.workload import FIELDS

ROWS = 12
SIDES = {"query": "search the index: ", "document": "rows: "}
TEXTED = {"name": {"type": "text", "searchable": True}}
WHOLE = "off"
"""The tiny model reads 24 tokens, and names behind a prompt have more: here they are not cut."""


@pytest.fixture(autouse=True)
def _models_go_with_their_test() -> Iterator[None]:
    yield
    engines._opened.clear()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_transformer(tmp_path_factory.mktemp("sides"), prompts=SIDES)


def lab_of(folder: Path, model: Path, **prompts: str) -> Lab:
    return Lab.at(
        folder, rows=ROWS, fields=TEXTED, chunking=WHOLE, embedding=embedding(model, **prompts)
    )


def embedding(model: Path, **prompts: str) -> dict[str, object]:
    return {"model": str(model)} | ({"prompts": prompts} if prompts else {})


def old_lab(folder: Path, model: Path) -> Lab:
    """Make a lab whose index a version made that knew of no prompts."""
    lab = lab_of(folder, model, passage="", query="")
    lab.full()
    config = lab.lens.config.model_dump(mode="json", by_alias=True, exclude_unset=True)
    config["embedding"] = {"model": str(model)}
    with lab.project.registry.begin() as db:
        db.execute(update(tables.generations).values(config=config))
    lab.push(fields=TEXTED, chunking=WHOLE, embedding=embedding(model))
    return lab


def active(lab: Lab) -> Generation:
    with lab.project.registry.read() as db:
        found = generations.active(db, lab.lens.id)
    assert found is not None
    return found


def library(model: Path, call: str, texts: list[str]) -> NDArray[np.float32]:
    from sentence_transformers import SentenceTransformer

    made: NDArray[np.float32] = getattr(SentenceTransformer(str(model), device="cpu"), call)(texts)
    return made


def texts(lab: Lab) -> dict[str, str]:
    with lab.source() as db:
        return {str(key): name for key, name in db.execute("select id, name from items")}


def indexed_as(lab: Lab, model: Path, call: str) -> bool:
    """Say whether every vector in the index is what the library's call makes of the row."""
    rows = texts(lab)
    found = lab.index.fetch(list(rows), vectors=True)
    assert found.height == len(rows)
    wanted = library(model, call, [rows[key] for key in found[KEY]])
    return closeness(found[VECTOR].to_numpy(), wanted).least > 0.9999


def score(lab: Lab, question: str) -> float:
    """Return how near the first hit is."""
    return search(lab.project, lab.name, question, limit=1)[0].score


def nearest(lab: Lab, model: Path, rows: str, question: str) -> float:
    """Return how near the nearest row is to a question, as the library's calls embed the two."""
    of_rows = library(model, rows, list(texts(lab).values()))
    of_question = library(model, question, ["the search index"])[0]
    return float((of_rows @ of_question).max())


def pushed(lab: Lab, lens_embedding: dict[str, object]) -> LensPush:
    """Return what a push of the lens with this embedding would do."""
    config = ProjectConfig.model_validate(
        {
            "stack": "test",
            "sources": {"main": {"bridge": "sql", "connection": f"sqlite:///{lab.database}"}},
            "lenses": {
                "items": {
                    "source": "main",
                    "table": "items",
                    "embedding": lens_embedding,
                    "fields": TEXTED,
                    "chunking": WHOLE,
                }
            },
        }
    )
    return plan_push(lab.project, config, ENV).lenses[0]


def test_rows_and_questions_are_embedded_each_behind_its_prompt(
    tmp_path: Path, model: Path
) -> None:
    lab = lab_of(tmp_path, model)

    lab.full()

    assert active(lab).passage_prompt == "rows: "
    assert indexed_as(lab, model, "encode_document")
    wanted = nearest(lab, model, "encode_document", "encode_query")
    assert score(lab, "the search index") == pytest.approx(wanted, abs=1e-3)
    assert lab.audit().clean
    assert lab.sync().counts.embedded == 0
    assert pushed(lab, embedding(model)).advice is None


def test_an_index_from_before_goes_on_as_it_was_and_status_says_what_a_rebuild_does(
    tmp_path: Path, model: Path
) -> None:
    lab = old_lab(tmp_path, model)
    before = active(lab)

    # When every kind of run goes over it, and rows change.
    with lab.source() as db:
        db.execute("update items set name = 'north' where id = 3")
    outcome = lab.sync()
    again = lab.sync()

    # Then only what changed was embedded, and all is of one kind.
    assert (before.passage_prompt, active(lab).id) == (None, before.id)
    assert (outcome.counts.embedded, again.counts.embedded) == (1, 0)
    assert lab.lens.needs is Needs.NOTHING
    assert indexed_as(lab, model, "encode")
    wanted = nearest(lab, model, "encode", "encode")
    assert score(lab, "the search index") == pytest.approx(wanted, abs=1e-3)
    # And both push and status say that a rebuild would find more.
    told = pushed(lab, embedding(model))
    assert told.needs is Needs.NOTHING
    assert "built without the one for passages" in (told.advice or "")
    line = status_of(lab.project, ENV, None).lenses[0]
    assert line.advice == told.advice
    assert json.dumps(line.as_json())


def test_a_rebuild_takes_the_models_prompts(tmp_path: Path, model: Path) -> None:
    lab = old_lab(tmp_path, model)

    outcome = lab.full()

    assert outcome.counts.embedded == ROWS
    assert active(lab).passage_prompt == "rows: "
    assert indexed_as(lab, model, "encode_document")
    wanted = nearest(lab, model, "encode_document", "encode_query")
    assert score(lab, "the search index") == pytest.approx(wanted, abs=1e-3)
    assert status_of(lab.project, ENV, None).lenses[0].advice is None


def test_who_wants_no_prompt_says_so_and_hears_no_more_of_it(tmp_path: Path, model: Path) -> None:
    lab = old_lab(tmp_path, model)

    told = pushed(lab, embedding(model, passage="", query=""))
    lab.push(fields=TEXTED, chunking=WHOLE, embedding=embedding(model, passage="", query=""))

    assert told.needs is Needs.NOTHING
    assert status_of(lab.project, ENV, None).lenses[0].advice is None
    assert lab.sync().counts.embedded == 0


def test_another_passage_prompt_needs_a_rebuild_and_the_old_one_serves_until_then(
    tmp_path: Path, model: Path
) -> None:
    lab = lab_of(tmp_path, model)
    lab.full()

    lab.push(fields=TEXTED, chunking=WHOLE, embedding=embedding(model, passage="north "))

    assert lab.lens.needs is Needs.REBUILD
    with lab.source() as db:
        db.execute("update items set name = 'north' where id = 3")
    assert lab.run(lab.request(Mode.SMART_SYNC)).counts.embedded == 1
    assert indexed_as(lab, model, "encode_document")
    wanted = nearest(lab, model, "encode_document", "encode_query")
    assert score(lab, "the search index") == pytest.approx(wanted, abs=1e-3)
    assert lab.full().counts.embedded == ROWS
    assert active(lab).passage_prompt == "north "
    assert pushed(lab, embedding(model, passage="north ")).needs is Needs.NOTHING


def test_the_same_prompt_written_down_changes_nothing(tmp_path: Path, model: Path) -> None:
    lab = lab_of(tmp_path, model)
    lab.full()

    lab.push(fields=TEXTED, chunking=WHOLE, embedding=embedding(model, passage="rows: "))

    assert lab.lens.needs is Needs.NOTHING
    assert lab.sync().counts.embedded == 0


def test_another_query_prompt_takes_effect_with_the_push(tmp_path: Path, model: Path) -> None:
    lab = lab_of(tmp_path, model)
    lab.full()
    before = score(lab, "the search index")

    lab.push(fields=TEXTED, chunking=WHOLE, embedding=embedding(model, query=""))

    assert lab.lens.needs is Needs.NOTHING
    wanted = nearest(lab, model, "encode_document", "encode")
    assert score(lab, "the search index") == pytest.approx(wanted, abs=1e-3)
    assert abs(score(lab, "the search index") - before) > 1e-3


def test_vectors_of_another_passage_prompt_are_not_taken_over(tmp_path: Path, model: Path) -> None:
    lab = lab_of(tmp_path, model)
    lab.full()

    same = lab.full()
    lab.push(fields=TEXTED, chunking=WHOLE, embedding=embedding(model, passage="east "))
    other = lab.full()

    assert (same.counts.reused, same.counts.embedded) == (ROWS, 0)
    assert (other.counts.reused, other.counts.embedded) == (0, ROWS)


def test_a_lens_with_fields_that_changed_keeps_the_prompt_of_its_index(
    tmp_path: Path, model: Path
) -> None:
    lab = old_lab(tmp_path, model)
    more = FIELDS | TEXTED

    lab.push(fields=more, chunking=WHOLE, embedding=embedding(model))

    assert lab.lens.needs is Needs.REBUILD
    assert lab.run(lab.request(Mode.SMART_SYNC)).counts.embedded == 0
    assert indexed_as(lab, model, "encode")
