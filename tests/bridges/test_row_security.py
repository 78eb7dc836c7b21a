"""A table that looks empty to this user may only be closed to them: the bridge says so and why."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy.engine import make_url

from semilayer_pipelines.bridges.protocol import Selection
from semilayer_pipelines.bridges.sql import SqlBridge
from tests import servers
from tests.sources import SourceDatabase

NOTES = Selection("note", ("id",), ("id",))


@pytest.fixture
def reader(postgres_source: SourceDatabase) -> Iterator[tuple[str, SqlBridge]]:
    """A user who may read `note`, which has row-level security and 500 rows, and their bridge."""
    name = f"semilayer_reader_{make_url(postgres_source.url).database}"
    postgres_source.run(
        "CREATE TABLE note (id INTEGER PRIMARY KEY, owner TEXT)",
        "INSERT INTO note SELECT n, 'x' FROM generate_series(1, 500) n",
        "ANALYZE note",
        "ALTER TABLE note ENABLE ROW LEVEL SECURITY",
        f"CREATE ROLE {name} LOGIN PASSWORD 's3cret'",
        f"GRANT SELECT ON note TO {name}",
        "GRANT USAGE ON SCHEMA public TO PUBLIC",
    )
    url = make_url(postgres_source.url).set(username=name, password="s3cret")
    bridge = SqlBridge(url.render_as_string(hide_password=False), timeout_ms=60_000, name="shop")
    yield name, bridge
    bridge.close()
    servers.execute(postgres_source.url, f"DROP OWNED BY {name}", f"DROP ROLE {name}")


def reason(bridge: SqlBridge, table: str) -> str:
    hidden = bridge.hides_rows(table)
    assert hidden is not None
    return hidden.reason


def test_without_a_policy_all_rows_are_hidden(
    postgres_source: SourceDatabase, reader: tuple[str, SqlBridge]
) -> None:
    name, bridge = reader

    told = reason(bridge, "note")

    assert bridge.count(NOTES) == 0
    assert f"'note' hides all its rows of about 500 from user '{name}'" in told
    # The owner, a superuser, sees everything.
    assert postgres_source.bridge.hides_rows("note") is None
    assert postgres_source.bridge.count(NOTES) == 500


def test_a_policy_that_decides_is_named_and_one_that_shows_all_is_none(
    postgres_source: SourceDatabase, reader: tuple[str, SqlBridge]
) -> None:
    name, bridge = reader
    postgres_source.run("CREATE POLICY mine ON note FOR SELECT USING (owner = current_user)")

    told = reason(bridge, "note")
    assert "may hide rows" in told
    assert "'mine'" in told

    postgres_source.run(f"CREATE POLICY every ON note FOR SELECT TO {name} USING (true)")
    assert bridge.hides_rows("note") is None
    assert bridge.count(NOTES) == 500
    postgres_source.run("CREATE POLICY but ON note AS RESTRICTIVE FOR SELECT USING (id > 100)")
    assert "'but'" in reason(bridge, "note")
    assert bridge.count(NOTES) == 400


def test_a_policy_for_others_or_for_writing_shows_nothing(
    postgres_source: SourceDatabase, reader: tuple[str, SqlBridge]
) -> None:
    _, bridge = reader
    postgres_source.run(
        "CREATE POLICY theirs ON note FOR SELECT TO postgres USING (true)",
        "CREATE POLICY written ON note FOR INSERT WITH CHECK (true)",
    )

    assert "hides all its rows" in reason(bridge, "note")
    assert bridge.count(NOTES) == 0


def test_a_view_hides_what_its_owner_may_not_see_or_its_user_where_it_says_so(
    postgres_source: SourceDatabase, reader: tuple[str, SqlBridge]
) -> None:
    name, bridge = reader
    postgres_source.run(
        "CREATE VIEW open AS SELECT id FROM note",
        "CREATE VIEW shown AS SELECT id FROM open",
        f"GRANT SELECT ON open, shown TO {name}",
    )
    assert bridge.hides_rows("shown") is None
    assert bridge.count(Selection("shown", ("id",), ("id",))) == 500

    postgres_source.run("ALTER VIEW open SET (security_invoker = true)")
    # `open` reads with the rights of whoever asks, also behind a view of another owner.
    assert bridge.count(Selection("shown", ("id",), ("id",))) == 0
    assert "'note'" in reason(bridge, "shown")
    assert "'note'" in reason(bridge, "open")
    assert bridge.count(Selection("open", ("id",), ("id",))) == 0


def test_an_owner_is_bound_only_where_security_is_forced(
    postgres_source: SourceDatabase, reader: tuple[str, SqlBridge]
) -> None:
    name, bridge = reader
    postgres_source.run(f"ALTER TABLE note OWNER TO {name}")
    assert bridge.hides_rows("note") is None

    postgres_source.run("ALTER TABLE note FORCE ROW LEVEL SECURITY")
    assert "hides all its rows" in reason(bridge, "note")


def test_tables_without_security_hide_nothing(source: SourceDatabase) -> None:
    source.run(
        "CREATE TABLE items (id INTEGER PRIMARY KEY)",
        "CREATE VIEW shown AS SELECT * FROM items",
    )

    assert source.bridge.hides_rows("items") is None
    assert source.bridge.hides_rows("shown") is None
    assert source.bridge.hides_rows("nothing") is None
