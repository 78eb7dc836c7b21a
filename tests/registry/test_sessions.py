"""Sessions of the console: what they can do is what their keys can, and no longer than those."""

from __future__ import annotations

import secrets
from datetime import timedelta

from semilayer_pipelines.registry import api_keys, environments, sessions
from semilayer_pipelines.registry.api_key import KeyKind
from semilayer_pipelines.registry.api_keys import ApiKey
from semilayer_pipelines.registry.database import Registry
from tests.registry.given import NOW, at


def new_key(registry: Registry, env: str) -> ApiKey:
    with registry.begin() as db:
        environments.ensure(db, env, NOW)
        key, _ = api_keys.create(
            db, env, KeyKind.SERVICE, "of a test", choose=secrets.choice, now=NOW
        )
        return key


def envs(registry: Registry, digest: str, seconds: float = 0) -> list[str]:
    with registry.read() as db:
        return [key.env for key in sessions.keys(db, digest, at(seconds))]


def test_a_session_has_the_keys_that_were_shown_by_environment(registry: Registry) -> None:
    for key in (new_key(registry, "staging"), new_key(registry, "production")):
        with registry.begin() as db:
            sessions.add(db, "one", key, NOW)

    assert envs(registry, "one") == ["production", "staging"]
    assert envs(registry, "other") == []


def test_a_key_may_be_shown_twice(registry: Registry) -> None:
    key = new_key(registry, "test")
    with registry.begin() as db:
        sessions.add(db, "one", key, NOW)
        sessions.add(db, "one", key, NOW)

    assert envs(registry, "one") == ["test"]


def test_a_revoked_key_is_gone_from_every_session_at_once(registry: Registry) -> None:
    key = new_key(registry, "test")
    with registry.begin() as db:
        sessions.add(db, "one", key, NOW)
        api_keys.revoke(db, "test", key.id, NOW)

    assert envs(registry, "one") == []


def test_a_session_ends_by_itself_and_is_forgotten_when_another_begins(registry: Registry) -> None:
    key, kept = new_key(registry, "test"), sessions.SESSION_KEPT.total_seconds()
    with registry.begin() as db:
        sessions.add(db, "old", key, NOW)

    assert envs(registry, "old", kept) == ["test"]
    assert envs(registry, "old", kept + 1) == []

    with registry.begin() as db:
        sessions.add(db, "new", key, NOW + sessions.SESSION_KEPT + timedelta(seconds=1))
    assert envs(registry, "old") == []


def test_a_session_that_moves_keeps_its_keys_and_its_age(registry: Registry) -> None:
    key, kept = new_key(registry, "test"), sessions.SESSION_KEPT.total_seconds()
    with registry.begin() as db:
        sessions.add(db, "old", key, NOW)
        sessions.move(db, "old", "new")

    assert (envs(registry, "old"), envs(registry, "new")) == ([], ["test"])
    assert envs(registry, "new", kept + 1) == []


def test_a_session_that_was_ended_has_no_keys(registry: Registry) -> None:
    key = new_key(registry, "test")
    with registry.begin() as db:
        sessions.add(db, "one", key, NOW)
        sessions.end(db, "one")

    assert envs(registry, "one") == []
