"""Calls are looked up together: each finds its own key, and its lens in the key's environment."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import count

from sqlalchemy import event

from semilayer_pipelines.control.accept import Accepted, Call, KeyRefused, accept
from semilayer_pipelines.errors import NotFound
from semilayer_pipelines.registry import api_keys, called, lenses
from semilayer_pipelines.registry.api_key import KeyKind, PresentedKey, parse_key
from semilayer_pipelines.registry.called import CalledLens
from semilayer_pipelines.registry.changes import Action
from semilayer_pipelines.registry.database import Registry
from semilayer_pipelines.registry.jobs import Mode
from semilayer_pipelines.registry.lenses import Lens, Needs
from tests.registry.given import NOW, lens_config, make_lens

CHANCE = random.Random(5)


def issue(registry: Registry, env: str) -> PresentedKey:
    with registry.begin() as db:
        _, text = api_keys.create(db, env, KeyKind.INGEST, "one", choose=CHANCE.choice, now=NOW)
    presented = parse_key(text)
    assert presented is not None
    return presented


def found(registry: Registry, *calls: tuple[PresentedKey, str]) -> list[CalledLens | str | None]:
    """Return what each call means: a lens, `None` without one, or that its key is refused."""
    with registry.read() as db:
        known = called.look_up(db, calls)
    given = [known.get((key.digest, name)) for key, name in calls]
    return ["refused" if one is None else one.lens for one in given]


def test_each_call_finds_its_lens_in_the_environment_of_its_key(
    registry: Registry, lens: Lens
) -> None:
    elsewhere = make_lens(registry, "items", env="other")
    odd = make_lens(registry, "Ünïcode", env="other")
    here, there = issue(registry, "test"), issue(registry, "other")

    assert found(
        registry,
        (here, "items"),
        (there, "items"),
        (there, "Ünïcode"),
        (here, "Ünïcode"),
        (here, "it'ems\"]"),
    ) == [
        CalledLens(lens.id, "test", "items", "2s"),
        CalledLens(elsewhere.id, "other", "items", "2s"),
        CalledLens(odd.id, "other", "Ünïcode", "2s"),
        None,
        None,
    ]


def test_a_lens_comes_with_the_debounce_that_was_pushed(registry: Registry, lens: Lens) -> None:
    key = issue(registry, "test")
    for said in ("500ms", 0):
        config = lens_config(debounce=said)
        with registry.begin() as db:
            lenses.register(
                db, lens.env_id, "items", config, needs=Needs.NOTHING, origin="push", now=NOW
            )
        assert found(registry, (key, "items")) == [CalledLens(lens.id, "test", "items", str(said))]


def test_a_true_id_with_a_wrong_secret_is_refused_beside_the_true_key(
    registry: Registry, lens: Lens
) -> None:
    true = issue(registry, "test")
    forged = replace(true, digest="0" * len(true.digest))

    assert found(registry, (forged, "items"), (true, "items")) == [
        "refused",
        CalledLens(lens.id, "test", "items", "2s"),
    ]


def test_a_revoked_key_finds_nothing(registry: Registry, lens: Lens) -> None:
    key = issue(registry, "test")
    with registry.begin() as db:
        api_keys.revoke(db, "test", key.id, NOW)

    assert found(registry, (key, "items")) == ["refused"]


def test_no_calls_find_nothing(registry: Registry) -> None:
    assert found(registry) == []


def test_a_hundred_calls_of_a_lens_take_as_many_statements_as_one(
    registry: Registry, lens: Lens
) -> None:
    # given: a lens that is called, and a key whose use is noted
    key = issue(registry, "test")
    number = count()

    def take(calls: int) -> list[str]:
        told = [
            Call(key, "items", Mode.RECORDS, [(str(next(number)), Action.UPSERT)])
            for _ in range(calls)
        ]
        with registry.begin() as db:
            outcomes = accept(db, told, clock=lambda: NOW, new_id=lambda: f"job{next(number)}")
        return [type(one).__name__ for one in outcomes]

    take(1)
    statements: list[str] = []
    event.listen(
        registry.engine, "before_cursor_execute", lambda *given: statements.append(given[2])
    )

    # when
    assert set(take(100)) == {Accepted.__name__}

    # then: who calls, the buffer and its changes, the job; a server takes the second at once
    ours = [one for one in statements if not one.startswith(("PRAGMA", "BEGIN"))]
    assert len(ours) == (3 if registry.engine.dialect.name == "postgresql" else 4)


def test_calls_that_are_refused_do_not_hold_up_the_others(registry: Registry, lens: Lens) -> None:
    key = issue(registry, "test")
    forged = replace(key, digest="0" * len(key.digest))
    told = [(key, "items"), (key, "gone"), (forged, "items"), (key, "items")]

    with registry.begin() as db:
        outcomes = accept(
            db,
            [Call(one, name, Mode.RECORDS, [("a", Action.UPSERT)]) for one, name in told],
            clock=lambda: NOW,
            new_id=iter("abcd").__next__,
        )

    assert [type(one) for one in outcomes] == [Accepted, NotFound, KeyRefused, Accepted]
    assert [one.buffered for one in outcomes if isinstance(one, Accepted)] == [1, 2]
