from __future__ import annotations

from functools import partial

import pytest

from semilayer_pipelines.errors import DimensionChanged, NotFound, Refused
from semilayer_pipelines.registry import generations, lenses, shards
from semilayer_pipelines.registry.database import Registry
from semilayer_pipelines.registry.generations import Generation, GenerationState
from semilayer_pipelines.registry.lenses import Lens
from semilayer_pipelines.registry.shards import ShardStatus
from tests.registry.given import NOW, at, build, lens_config, make_lens
from tests.registry.race import threads_at_once


def publish(registry: Registry, generation: Generation, seconds: float = 1) -> None:
    with registry.begin() as db:
        generations.publish(db, generation.id, at(seconds))


def test_a_generation_being_built_knows_what_it_was_begun_with(
    registry: Registry, lens: Lens
) -> None:
    made = build(
        registry, lens, bounds=("10", "20"), change_seq=7, source_rows=30, high_water="2025-01-01"
    )

    with registry.read() as db:
        assert generations.building(db, lens.id) == made
        assert generations.active(db, lens.id) is None
        parts = shards.list_all(db, made.id)
    assert made == Generation(
        id=made.id,
        lens_id=lens.id,
        number=1,
        index_name="items-g1",
        state=GenerationState.BUILDING,
        mapping_fingerprint="mapping-1",
        model_fingerprint="model-1",
        config=lens.config,
        dimension=None,
        bounds=("10", "20"),
        job_id="full-1",
        change_seq=7,
        source_rows=30,
        high_water="2025-01-01",
        created_at=NOW,
        published_at=None,
        retired_at=None,
    )
    assert [(part.number, part.status) for part in parts] == [
        (number, ShardStatus.PENDING) for number in range(3)
    ]


def test_runs_of_one_job_that_open_at_once_share_a_generation(
    registry: Registry, lens: Lens
) -> None:
    opened = threads_at_once(lambda _: build(registry, lens))

    assert {generation.number for generation in opened} == {1}
    assert build(registry, lens).id == opened[0].id


def test_another_job_cannot_open_one_while_one_is_built(registry: Registry, lens: Lens) -> None:
    build(registry, lens)

    with pytest.raises(Refused, match="Job full-1 is building generation 1"):
        build(registry, lens, job_id="full-2")


def test_a_lens_that_was_removed_gets_no_generation(registry: Registry, lens: Lens) -> None:
    with registry.begin() as db:
        lenses.remove(db, lens.id)

    with pytest.raises(NotFound, match="removed"):
        build(registry, lens)


def test_publishing_switches_and_retires_in_one_step(registry: Registry, lens: Lens) -> None:
    first = build(registry, lens)
    publish(registry, first, 1)
    second = build(registry, lens, job_id="full-2")
    publish(registry, second, 2)

    with registry.read() as db:
        active = generations.active(db, lens.id)
        retired = generations.retired(db, lens.id)
        assert generations.building(db, lens.id) is None
    assert active is not None
    assert (active.id, active.state, active.published_at) == (
        second.id,
        GenerationState.ACTIVE,
        at(2),
    )
    assert [(x.id, x.published_at, x.retired_at) for x in retired] == [(first.id, at(1), at(2))]


def test_a_switch_that_is_rolled_back_leaves_the_old_one_serving(
    registry: Registry, lens: Lens
) -> None:
    first = build(registry, lens)
    publish(registry, first)
    second = build(registry, lens, job_id="full-2")

    def switch_and_fail() -> None:
        with registry.begin() as db:
            generations.publish(db, second.id, at(2))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        switch_and_fail()

    with registry.read() as db:
        active, building = generations.active(db, lens.id), generations.building(db, lens.id)
    assert active is not None
    assert building is not None
    assert (active.id, building.id) == (first.id, second.id)


def test_publishing_twice_is_publishing_once(registry: Registry, lens: Lens) -> None:
    made = build(registry, lens)
    publish(registry, made, 1)
    publish(registry, made, 5)

    with registry.read() as db:
        active = generations.active(db, lens.id)
    assert active is not None
    assert active.published_at == at(1)


def test_what_is_retired_or_gone_cannot_be_published(registry: Registry, lens: Lens) -> None:
    old = build(registry, lens)
    publish(registry, old)
    publish(registry, build(registry, lens, job_id="full-2"))

    with pytest.raises(Refused, match="Generation 1 was retired"):
        publish(registry, old)
    with registry.begin() as db:
        generations.forget(db, old.id)
    with pytest.raises(NotFound, match="gone"):
        publish(registry, old)


def test_a_number_is_never_used_twice(registry: Registry, lens: Lens) -> None:
    for expected in (1, 2, 3):
        made = build(registry, lens)
        assert (made.number, made.index_name) == (expected, f"items-g{expected}")
        with registry.begin() as db:
            generations.forget(db, made.id)
            assert shards.list_all(db, made.id) == []


def test_the_first_dimension_stays(registry: Registry, lens: Lens) -> None:
    made = build(registry, lens)
    with registry.begin() as db:
        generations.set_dimension(db, made.id, 384)
        generations.set_dimension(db, made.id, 384)

    with (
        pytest.raises(DimensionChanged, match="768 dimensions, generation 1 holds 384"),
        registry.begin() as db,
    ):
        generations.set_dimension(db, made.id, 768)
    with registry.read() as db:
        building = generations.building(db, lens.id)
    assert building is not None
    assert building.dimension == 384


def test_of_two_dimensions_set_at_once_one_wins(registry: Registry, lens: Lens) -> None:
    made = build(registry, lens)

    def fix(number: int) -> int | None:
        try:
            with registry.begin() as db:
                generations.set_dimension(db, made.id, 100 + number)
        except DimensionChanged:
            return None
        return 100 + number

    fixed = [dimension for dimension in threads_at_once(fix) if dimension is not None]

    with registry.read() as db:
        building = generations.building(db, lens.id)
    assert building is not None
    assert fixed == [building.dimension]


def test_a_generation_adopts_a_configuration(registry: Registry, lens: Lens) -> None:
    made = build(registry, lens)
    wider = lens_config(shards=4)

    with registry.begin() as db:
        generations.adopt(db, made.id, mapping_fingerprint="mapping-2", config=wider)
        adopted = generations.building(db, lens.id)

    assert adopted is not None
    assert (adopted.mapping_fingerprint, adopted.config) == ("mapping-2", wider)
    assert adopted.model_fingerprint == made.model_fingerprint


def test_generations_retired_long_ago_are_found_for_all_lenses(
    registry: Registry, lens: Lens
) -> None:
    other = make_lens(registry, "orders")
    for which, retired_at in [(lens, 10), (other, 20)]:
        publish(registry, build(registry, which), 1)
        publish(registry, build(registry, which, job_id="full-2"), retired_at)

    with registry.read() as db:
        found = [generation.index_name for generation in generations.retired_before(db, at(20))]
        both = generations.retired_before(db, at(21))
    assert found == ["items-g1"]
    assert len(both) == 2


def test_an_index_is_forgotten_when_its_name_was_given_here_and_no_generation_has_it(
    registry: Registry, lens: Lens
) -> None:
    # given two generations of a lens, of which the first was forgotten
    named = partial(generations.index_name, lens)
    first = build(registry, lens, index_name=named)
    publish(registry, first)
    second = build(registry, lens, job_id="full-2", index_name=named)
    publish(registry, second)
    with registry.begin() as db:
        generations.forget(db, first.id)

    # when a store has both, one with a number that was never given, and a stranger's
    there = [first.index_name, second.index_name, named(3), "items-99-g000001", "anything"]
    with registry.read() as db:
        forgotten = generations.forgotten(db, "test", there)
        elsewhere = generations.forgotten(db, "other", there)

    # then
    assert forgotten == [first.index_name]
    assert elsewhere == []


def test_the_last_generation_of_a_lens_is_never_too_old(registry: Registry, lens: Lens) -> None:
    only = build(registry, lens)
    publish(registry, only, 1)
    with registry.begin() as db:
        generations.retire(db, only.id, at(2))

    with registry.read() as db:
        assert generations.retired_before(db, at(1_000_000)) == []


def test_nobody_goes_back_to_what_may_be_being_dropped(registry: Registry, lens: Lens) -> None:
    first = build(registry, lens)
    publish(registry, first, 1)
    second = build(registry, lens, job_id="full-2")
    publish(registry, second, 2)

    with pytest.raises(Refused, match="switched a moment ago"), registry.begin() as db:
        generations.reinstate(db, first.id, instead_of=second.id, retired_after=at(2), now=at(3))

    with registry.read() as db:
        active = generations.active(db, lens.id)
    assert active is not None
    assert active.id == second.id
