"""What tells one registry from another."""

from __future__ import annotations

from pathlib import Path

from semilayer_pipelines.registry.database import Registry


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
