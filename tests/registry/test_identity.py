"""What tells one registry from another."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy.engine import make_url

from semilayer_pipelines.errors import RegistryUnavailable
from semilayer_pipelines.registry.database import Registry
from tests import servers


def identity(url: str) -> str:
    registry = Registry.open(url)
    try:
        return registry.identity()
    finally:
        registry.close()


def test_whoever_opens_a_registry_gets_the_same_word(registry_url: str) -> None:
    word = identity(registry_url)

    assert word == identity(registry_url)
    assert len(word) == 32
    assert word.isalnum()


def test_another_registry_has_another_word(registry_url: str, tmp_path: Path) -> None:
    assert identity(registry_url) != identity(f"sqlite:///{tmp_path}/another.db")


def test_another_database_of_the_same_server_is_another_registry(
    postgres_registry_url: str, postgres_database: str
) -> None:
    assert identity(postgres_registry_url) != identity(postgres_database)


def test_two_ways_to_name_one_file_are_one_registry(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)

    assert identity(f"sqlite:///{tmp_path}/r.db") == identity(f"sqlite:///{tmp_path}/link/r.db")


def test_a_server_that_does_not_say_who_it_is_costs_nothing_but_the_word(
    postgres_registry_url: str,
) -> None:
    # given a registry whose user may not ask, as on some managed servers
    Registry.open(postgres_registry_url).close()
    user = f"user_{uuid4().hex[:8]}"
    servers.execute(
        postgres_registry_url,
        f"CREATE ROLE {user} LOGIN",
        f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {user}",
        "REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC",
    )
    url = make_url(postgres_registry_url).set(username=user)
    registry = Registry.open(url.render_as_string(hide_password=False))
    try:
        # then that is said as one of our errors, which the definitions do without
        with pytest.raises(RegistryUnavailable, match="permission denied"):
            registry.identity()
    finally:
        registry.close()
        servers.execute(
            postgres_registry_url,
            "GRANT EXECUTE ON FUNCTION pg_control_system() TO PUBLIC",
            f"DROP OWNED BY {user}",
            f"DROP ROLE {user}",
        )
