from __future__ import annotations

import random

import pytest
from sqlalchemy import text as sql

from semilayer_pipelines.errors import ConfigError, NotFound
from semilayer_pipelines.registry import api_keys, environments
from semilayer_pipelines.registry.api_key import KeyKind, PresentedKey, parse_key
from semilayer_pipelines.registry.api_keys import ApiKey
from semilayer_pipelines.registry.database import Registry
from tests.registry.given import NOW, at

CHANCE = random.Random(3)


@pytest.fixture
def env(registry: Registry) -> str:
    with registry.begin() as db:
        return environments.ensure(db, "test", NOW).slug


def issue(registry: Registry, env: str, name: str = "worker") -> tuple[ApiKey, PresentedKey]:
    with registry.begin() as db:
        key, text = api_keys.create(db, env, KeyKind.INGEST, name, choose=CHANCE.choice, now=NOW)
    presented = parse_key(text)
    assert presented is not None
    return key, presented


def check(registry: Registry, *presented: PresentedKey) -> list[str]:
    with registry.read() as db:
        return [key.id for key in api_keys.check(db, presented).values()]


def test_an_issued_key_is_known_and_belongs_to_its_environment(
    registry: Registry, env: str
) -> None:
    key, presented = issue(registry, env)

    with registry.read() as db:
        found = api_keys.check(db, [presented])[presented.digest]

    assert found == key
    assert (found.env, found.kind, found.last_used_at, found.revoked_at) == (
        "test",
        KeyKind.INGEST,
        None,
        None,
    )


def test_of_a_key_only_its_hash_is_stored(registry: Registry, env: str) -> None:
    with registry.begin() as db:
        key, text = api_keys.create(db, env, KeyKind.SERVICE, "x", choose=CHANCE.choice, now=NOW)
        stored = db.execute(sql("SELECT * FROM sl_api_keys")).all()

    assert len(stored) == 1
    assert key.id in str(stored)
    assert text[len("sk_test_") + 10 :] not in str(stored)


def test_the_right_id_with_another_secret_is_unknown(registry: Registry, env: str) -> None:
    _, presented = issue(registry, env)
    forged = PresentedKey(presented.id, presented.kind, presented.env, "0" * 64)

    assert check(registry, forged) == []
    assert check(registry, forged, presented) == [presented.id]


def test_a_revoked_key_is_unknown_and_stays_listed(registry: Registry, env: str) -> None:
    key, presented = issue(registry, env)
    _, other = issue(registry, env, "other")

    with registry.begin() as db:
        api_keys.revoke(db, env, key.id, at(5))
        again = api_keys.revoke(db, env, key.id, at(9))
        listed = api_keys.list_all(db, env)

    assert check(registry, presented, other) == [other.id]
    assert again.revoked_at == at(5)
    assert {one.name for one in listed} == {"worker", "other"}


def test_a_key_of_another_environment_cannot_be_revoked(registry: Registry, env: str) -> None:
    key, presented = issue(registry, env)
    with registry.begin() as db:
        environments.ensure(db, "prod", NOW)

    with registry.begin() as db, pytest.raises(NotFound, match="no key with this id in 'prod'"):
        api_keys.revoke(db, "prod", key.id, NOW)

    assert check(registry, presented) == [key.id]


def test_last_use_is_noted_at_most_once_a_minute(registry: Registry, env: str) -> None:
    _, presented = issue(registry, env)
    noted = []

    for seconds in (0, 59, 60, 100, 121):
        with registry.begin() as db:
            api_keys.touch(db, api_keys.check(db, [presented]).values(), at(seconds))
            noted.append(api_keys.check(db, [presented])[presented.digest].last_used_at)

    assert noted == [at(0), at(0), at(60), at(60), at(121)]


@pytest.mark.parametrize("name", ["", "  ", "x" * 101, "a\nb", "a\0b"])
def test_a_name_that_names_nothing_is_refused(registry: Registry, env: str, name: str) -> None:
    with registry.begin() as db, pytest.raises(ConfigError, match="name"):
        api_keys.create(db, env, KeyKind.INGEST, name, choose=CHANCE.choice, now=NOW)


def test_keys_need_an_environment(registry: Registry, env: str) -> None:
    with registry.begin() as db, pytest.raises(NotFound, match="did you mean 'test'"):
        api_keys.create(db, "tset", KeyKind.INGEST, "x", choose=CHANCE.choice, now=NOW)
