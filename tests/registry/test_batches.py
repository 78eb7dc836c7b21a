"""What the registry knows of batches: which a lens waits for, and which nobody waits for."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import Connection

from semilayer_pipelines.config.embedding import EmbeddingConfig
from semilayer_pipelines.registry import batches, environments, generations, jobs, lenses
from semilayer_pipelines.registry.batches import Batch
from semilayer_pipelines.registry.database import Registry
from semilayer_pipelines.registry.jobs import Mode
from semilayer_pipelines.registry.lenses import Lens, LensStatus, Needs
from tests.registry.given import NOW, build, lens_config, queue

EMBEDDING = EmbeddingConfig(provider="openai", model="m", url="http://there/v1", batch=True)


@pytest.fixture
def lens(registry: Registry) -> Lens:
    config = lens_config(embedding=EMBEDDING)
    with registry.begin() as db:
        env = environments.ensure(db, "test", NOW).id
        return lenses.register(
            db, env, "items", config, needs=Needs.NOTHING, origin="push", now=NOW
        )


def sent(registry: Registry, lens: Lens, *numbers: int) -> list[Batch]:
    """Begin a generation, a full ingest and these batches; the provider knows of the first."""
    generation = build(registry, lens)
    queue(registry, lens, Mode.FULL, "full-1")
    empty = dict.fromkeys(("upto", "remote", "sent_at", "expires_at"))
    made = [
        Batch(
            id=f"ours-{n}",
            lens_id=lens.id,
            generation_id=generation.id,
            shard=0,
            number=n,
            embedding=EMBEDDING,
            texts=100,
            done=0,
            tries=0,
            created_at=NOW,
            **empty,
        )
        for n in numbers
    ]
    with registry.begin() as db:
        for one in made:
            batches.begin(db, replace(one, upto=str(one.number)))
    return made


def test_batches_come_back_in_the_order_of_their_keys(registry: Registry, lens: Lens) -> None:
    made = sent(registry, lens, 1, 0)
    until = NOW + timedelta(days=1)
    with registry.begin() as db:
        batches.note_sent(db, "ours-0", remote="theirs", expires_at=None, now=NOW)
        batches.note_look(db, "ours-0", done=40, expires_at=until)
        batches.to_the_end(db, "ours-1")

    with registry.read() as db:
        one, two = batches.of_shard(db, made[0].generation_id, 0)
        told = str(batches.awaited(db, lens.id))

    assert (one.id, one.remote, one.upto, one.done, one.tries) == ("ours-0", "theirs", "0", 40, 1)
    assert (two.id, two.remote, two.upto) == ("ours-1", None, None)
    assert one.embedding == EMBEDDING
    assert f"until {until:%Y-%m-%dT%H:%M}:00Z at the latest: 40 of 200 texts" in told


def cancelled(db: Connection, lens: Lens) -> None:
    jobs.cancel(db, "full-1", NOW)


def removed(db: Connection, lens: Lens) -> None:
    lenses.remove(db, lens.id)


def given_up(db: Connection, lens: Lens) -> None:
    building = generations.building(db, lens.id)
    assert building is not None
    generations.forget(db, building.id)


def published(db: Connection, lens: Lens) -> None:
    building = generations.building(db, lens.id)
    assert building is not None
    generations.publish(db, building.id, NOW)


@pytest.mark.parametrize("ends", [cancelled, removed, given_up, published])
def test_nobody_waits_for_a_batch_whose_ingest_is_over(
    ends: object, registry: Registry, lens: Lens
) -> None:
    sent(registry, lens, 0)
    with registry.begin() as db:
        assert not batches.left_over(db)
        ends(db, lens)  # type: ignore[operator]

    with registry.read() as db:
        assert [one.id for one in batches.left_over(db)] == ["ours-0"]
        assert [one.id for one in batches.left_over(db, lens.id)] == ["ours-0"]
        assert not batches.left_over(db, lens.id + 1)
        assert batches.awaited(db, lens.id) is None


def test_a_batch_that_is_given_up_is_of_no_shard_and_its_number_is_free(
    registry: Registry, lens: Lens
) -> None:
    [one] = sent(registry, lens, 0)
    ids = [f"{n}" * 32 for n in "ab"]
    with registry.begin() as db:
        batches.forget(db, one.id)
        for ours in ids:
            batches.begin(db, replace(one, id=ours))
            batches.give_up(db, ours)

    with registry.read() as db:
        assert not batches.of_shard(db, one.generation_id, 0)
        assert {each.id for each in batches.left_over(db)} == {*ids}
        assert batches.awaited(db, lens.id) is None


def test_a_lens_that_failed_keeps_its_batches_for_whoever_mends_it(
    registry: Registry, lens: Lens
) -> None:
    sent(registry, lens, 0)
    with registry.begin() as db:
        jobs.cancel(db, "full-1", NOW)
        lenses.set_status(db, lens.id, LensStatus.ERROR, now=NOW)
        assert not batches.left_over(db)
