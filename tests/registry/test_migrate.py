from __future__ import annotations

import subprocess
import sys

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Index, create_engine, delete, inspect, select, text
from sqlalchemy.schema import SchemaItem

from semilayer_pipelines.errors import ConfigError
from semilayer_pipelines.registry import changes, tables
from semilayer_pipelines.registry.changes import Action
from semilayer_pipelines.registry.database import Registry
from semilayer_pipelines.registry.migrate import HEAD, MIGRATIONS, VERSION_TABLE, _upgrade
from tests import servers
from tests.registry.given import NOW, make_lens
from tests.registry.race import processes_at_once


def is_for(dialect: str, item: SchemaItem) -> bool:
    condition = item._ddl_if if isinstance(item, Index) else None
    return condition is None or condition.dialect == dialect


def differences(db: Connection) -> list[object]:
    ours = set(tables.metadata.tables)
    options = {
        "version_table": VERSION_TABLE,
        "include_name": lambda name, kind, _: kind != "table" or name in ours,
        # The comparison does not ask which database an index is for.
        "include_object": lambda item, *_: is_for(db.dialect.name, item),
        "compare_type": True,
        "compare_server_default": True,
    }
    expected = tables.described(db.dialect.name)
    return list(compare_metadata(MigrationContext.configure(db, opts=options), expected))


def definitions(url: str) -> dict[str, str]:
    """Return the SQL of every index, its uniqueness and its WHERE included."""
    engine = create_engine(url)
    with engine.connect() as db:
        if db.dialect.name == "sqlite":
            query = "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"
        else:
            query = "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'"
        found = {row[0]: " ".join(row[1].split()) for row in db.execute(text(query))}
    engine.dispose()
    return {name: sql for name, sql in found.items() if not name.startswith(VERSION_TABLE)}


def test_the_migrations_make_the_tables_the_code_expects(empty_url: str) -> None:
    registry = Registry.open(empty_url)

    with registry.read() as db:
        assert differences(db) == []
    registry.close()


def test_the_comparison_would_see_a_difference(empty_url: str) -> None:
    registry = Registry.open(empty_url)

    with registry.begin() as db:
        db.execute(text("DROP INDEX sl_changes_claimed_ix"))
        db.execute(text("ALTER TABLE sl_lenses ADD COLUMN forgotten TEXT"))

    with registry.read() as db:
        assert len(differences(db)) == 2
    registry.close()


def test_indexes_agree_to_the_letter(empty_url: str, tmp_path: object) -> None:
    Registry.open(empty_url).close()
    migrated = definitions(empty_url)

    if empty_url.startswith("sqlite"):
        direct = f"sqlite:///{tmp_path}/direct.db"
        _create_all(direct)
        expected = definitions(direct)
    else:
        with servers.database(servers.postgres_url()) as direct:
            _create_all(direct)
            expected = definitions(direct)

    assert migrated == expected
    assert any("applied_at IS NULL" in sql for sql in migrated.values())


def _create_all(url: str) -> None:
    engine = create_engine(url)
    tables.described(engine.dialect.name).create_all(engine)
    engine.dispose()


def test_changes_keep_their_numbers_and_their_lens_when_their_table_is_copied(
    empty_url: str,
) -> None:
    # given: a registry of the version before, whose last change was pruned
    registry = Registry.open(empty_url, migrate=False)
    with registry.begin() as db:
        _upgrade(db, "0018")
    lens = make_lens(registry, "items").id
    with registry.begin() as db:
        changes.append(db, lens, [(key, Action.DELETE) for key in "cab"], NOW)
        db.execute(delete(tables.changes).where(tables.changes.c.key == "b"))
        before = db.execute(select(tables.changes)).all()
    registry.close()

    # when
    registry = Registry.open(empty_url)

    # then: no number comes back, and a lens still takes its changes with it
    with registry.begin() as db:
        assert db.execute(select(tables.changes)).all() == before
        changes.append(db, lens, [("d", Action.UPSERT)], NOW)
        assert [change.seq for change in changes.since(db, lens, 0, limit=9)] == [1, 2, 4]
        db.execute(delete(tables.lenses))
        assert db.execute(select(tables.changes)).all() == []
    registry.close()


def test_head_is_the_newest_migration() -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.set_main_option("path_separator", "os")

    assert ScriptDirectory.from_config(config).get_heads() == [HEAD]


def test_a_registry_that_is_up_to_date_opens_without_alembic(registry_url: str) -> None:
    program = (
        "import sys\n"
        "from semilayer_pipelines.registry.database import Registry\n"
        f"Registry.open({registry_url!r})\n"
        "print('alembic' in sys.modules)"
    )

    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )

    assert done.stdout.strip() == "False", done.stderr


def open_and_read(url: str, _: int) -> str:
    registry = Registry.open(url)
    with registry.read() as db:
        version = db.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar_one()
    registry.close()
    return str(version)


def test_processes_that_migrate_at_once_all_succeed(empty_url: str) -> None:
    versions = processes_at_once(open_and_read, empty_url)

    assert versions == [HEAD] * 3


def test_tables_of_a_newer_version_are_refused(empty_url: str) -> None:
    registry = Registry.open(empty_url)
    with registry.begin() as db:
        db.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '0999'"))
    registry.close()

    with pytest.raises(ConfigError, match=r"version 0999.*Upgrade semilayer-pipelines"):
        Registry.open(empty_url)


def test_dagsters_tables_in_the_same_database_are_left_alone(empty_url: str) -> None:
    # given: Dagster's storage has a table of jobs, and Alembic's own table of versions
    registry = Registry.open(empty_url, migrate=False)
    with registry.begin() as db:
        db.execute(text("CREATE TABLE jobs (id INTEGER)"))
        db.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32))"))
        db.execute(text("INSERT INTO alembic_version VALUES ('7e2f3204cf8e')"))
    registry.close()

    # when
    registry = Registry.open(empty_url)

    # then
    with registry.read() as db:
        assert db.execute(text("SELECT * FROM alembic_version")).scalars().all() == ["7e2f3204cf8e"]
        assert inspect(db).has_table("jobs")
        assert differences(db) == []
    registry.close()


def test_a_migration_that_fails_leaves_nothing_behind(empty_url: str) -> None:
    # given: a table of ours is there, so that the migration must stop at it
    registry = Registry.open(empty_url, migrate=False)
    with registry.begin() as db:
        db.execute(text("CREATE TABLE sl_cursors (other INTEGER)"))
    registry.close()

    # when
    with pytest.raises(Exception, match="already exists"):
        Registry.open(empty_url)

    # then
    with registry.read() as db:
        assert [name for name in inspect(db).get_table_names() if name.startswith("sl_")] == [
            "sl_cursors"
        ]
    registry.close()
