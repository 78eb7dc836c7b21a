from __future__ import annotations

import pytest

from semilayer_pipelines.errors import ConfigError, NotFound, Refused
from semilayer_pipelines.registry import environments
from semilayer_pipelines.registry.database import Registry
from tests.registry.given import NOW, at
from tests.registry.race import threads_at_once


def test_an_environment_is_made_once(registry: Registry) -> None:
    with registry.begin() as db:
        first = environments.ensure(db, "production", NOW)
        again = environments.ensure(db, "production", at(60))

        assert first == again == environments.get(db, "production")
        assert environments.list_all(db) == [first]


def test_one_that_is_there_is_not_made_again(registry: Registry) -> None:
    with registry.begin() as db:
        made = environments.create(db, "production", NOW)

        with pytest.raises(Refused, match="already"):
            environments.create(db, "production", at(60))
        assert environments.list_all(db) == [made]


def test_threads_that_make_one_at_once_get_the_same(registry: Registry) -> None:
    def ensure(_: int) -> environments.Environment:
        with registry.begin() as db:
            return environments.ensure(db, "production", NOW)

    assert len(set(threads_at_once(ensure))) == 1


@pytest.mark.parametrize("slug", ["", "Production", "1st", "-a", "a_b", "a b", "a" * 32, "a\n"])
def test_a_slug_that_cannot_be_in_a_key_is_refused(registry: Registry, slug: str) -> None:
    with pytest.raises(ConfigError, match="small letters"), registry.begin() as db:
        environments.ensure(db, slug, NOW)


def test_the_longest_slug_is_accepted(registry: Registry) -> None:
    with registry.begin() as db:
        assert environments.ensure(db, "a" * 31, NOW).slug == "a" * 31


def test_an_environment_that_is_not_there_is_answered_with_those_that_are(
    registry: Registry,
) -> None:
    with registry.begin() as db:
        environments.ensure(db, "production", NOW)
        environments.ensure(db, "development", NOW)

    with (
        pytest.raises(NotFound, match=r"did you mean 'production'.*development, production"),
        registry.read() as db,
    ):
        environments.get(db, "prodution")
