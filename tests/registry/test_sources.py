from __future__ import annotations

import pytest

from semilayer_pipelines.config.models import SourceConfig
from semilayer_pipelines.errors import NotFound
from semilayer_pipelines.registry import environments, sources
from semilayer_pipelines.registry.database import Registry
from tests.registry.given import NOW


def source(connection: str) -> SourceConfig:
    return SourceConfig.model_validate({"bridge": "sql", "connection": connection})


def test_a_source_comes_back_with_its_variable_unresolved(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_URL", "postgresql://anna:s3cret@db/shop")
    config = source("${SHOP_URL}")

    with registry.begin() as db:
        env = environments.ensure(db, "test", NOW)
        sources.put(db, env.id, "shop", config)

    with registry.read() as db:
        assert sources.get(db, env.id, "shop") == config
        assert sources.get(db, env.id, "shop").connection == "${SHOP_URL}"


def test_a_source_takes_the_place_of_the_one_of_its_name_in_its_environment_only(
    registry: Registry,
) -> None:
    with registry.begin() as db:
        here = environments.ensure(db, "here", NOW)
        there = environments.ensure(db, "there", NOW)
        for env in (here, there):
            sources.put(db, env.id, "shop", source("sqlite:///old.db"))
        sources.put(db, here.id, "shop", source("sqlite:///new.db"))
        sources.put(db, here.id, "archive", source("sqlite:///archive.db"))

    with registry.read() as db:
        assert list(sources.list_all(db, here.id)) == ["archive", "shop"]
        assert sources.get(db, here.id, "shop").connection == "sqlite:///new.db"
        assert sources.get(db, there.id, "shop").connection == "sqlite:///old.db"


def test_a_source_that_is_not_there_is_answered_with_those_that_are(registry: Registry) -> None:
    with registry.begin() as db:
        env = environments.ensure(db, "test", NOW)
        sources.put(db, env.id, "shop", source("sqlite:///shop.db"))

    with pytest.raises(NotFound, match=r"did you mean 'shop'.*: shop\."), registry.read() as db:
        sources.get(db, env.id, "shopp")
