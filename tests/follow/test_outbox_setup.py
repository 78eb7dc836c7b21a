"""Installing an outbox: what is made, what is refused, and that nothing is left of it."""

from __future__ import annotations

import time
from collections.abc import Iterator

import psycopg
import pytest
from sqlalchemy.engine import make_url

from semilayer_pipelines.errors import SourceUnreachable
from tests.follow.outboxes import Outbox, installed
from tests.sources import SourceDatabase


@pytest.fixture
def source(postgres_source: SourceDatabase) -> SourceDatabase:
    postgres_source.run("CREATE TABLE items (id int PRIMARY KEY)")
    return postgres_source


def told(outbox: Outbox) -> list[tuple[str, bool]]:
    setup = outbox.setup()
    findings = setup.findings()
    setup.close()
    return [(finding.told, finding.stops) for finding in findings]


def test_what_is_installed_has_nothing_left_to_install(source: SourceDatabase) -> None:
    outbox = Outbox(source, {"items": ("id",)})
    setup = outbox.setup()
    statements = setup.to_install()
    setup.run(statements)

    assert statements
    assert setup.to_install() == ()
    assert setup.findings() == ()
    setup.run(setup.to_uninstall())
    setup.close()


def test_uninstalling_leaves_nothing_and_the_tables_can_be_written_to(
    source: SourceDatabase,
) -> None:
    with installed(source) as outbox:
        outbox.uninstall()

        setup = outbox.setup()
        assert setup.to_uninstall() == ()
        left = setup._session.rows(
            "SELECT tgname FROM pg_trigger WHERE starts_with(tgname, %s) "
            "UNION ALL SELECT nspname FROM pg_namespace WHERE nspname = %s",
            (outbox.name, outbox.name),
        )
        setup.close()
        source.run("INSERT INTO items VALUES (1)")
    assert left == []


def test_two_outboxes_of_one_table_each_tell_everything(source: SourceDatabase) -> None:
    with installed(source) as one, installed(source) as other:
        source.run("INSERT INTO items VALUES (1)")

        assert one.changes() == other.changes() == [("upsert", "1")]


@pytest.mark.parametrize(
    ("made", "watched", "words", "stops"),
    [
        ("SELECT 1", {"nothing": ("id",)}, "'nothing' is not there", True),
        ("SELECT 1", {"items": ("sku",)}, "'items' has no column 'sku'", True),
        ("CREATE VIEW seen AS SELECT * FROM items", {"seen": ("id",)}, "is a view", False),
    ],
)
def test_a_table_that_cannot_be_followed_is_told_of(
    source: SourceDatabase, made: str, watched: dict[str, tuple[str, ...]], words: str, stops: bool
) -> None:
    source.run(made)

    [(said, stopped)] = told(Outbox(source, watched))

    assert words in said
    assert stopped is stops


def test_a_user_without_the_rights_is_told_which_are_missing(source: SourceDatabase) -> None:
    outbox = Outbox(source, {"items": ("id",)})
    role = f"{outbox.name}_reader"
    source.run(f"CREATE ROLE {role} LOGIN", f"GRANT USAGE ON SCHEMA public TO {role}")
    try:
        plain = Outbox(source, outbox.watched, outbox.name)
        setup = plain.setup()
        setup._session.arguments["user"] = role
        findings = setup.findings()
        statements = setup.to_install()
        setup.close()
        assert [finding.stops for finding in findings] == [True, True]
        assert "may not create a schema" in findings[0].told
        assert "may not make triggers on public.items" in findings[1].told

        # when somebody else runs what it prints, it may drain
        admin = outbox.setup()
        admin.run(statements)
        admin.close()
        source.run("INSERT INTO items VALUES (1)")
        feed = plain.feed()
        feed._session.arguments["user"] = role
        batch = feed.read(0)
        assert batch is not None
        feed.confirm(batch.position)
        feed.close()
        assert [change.row for change in batch.changes] == [("1",)]
    finally:
        outbox.uninstall()
        source.run(f"DROP OWNED BY {role}", f"DROP ROLE {role}")


def test_a_table_that_a_transaction_has_keeps_nobody_waiting(source: SourceDatabase) -> None:
    # Given a transaction that wrote to the table, and stays open
    outbox = Outbox(source, {"items": ("id",)})
    with psycopg.connect(source.url.replace("+psycopg", "")) as writer:
        writer.execute("INSERT INTO items VALUES (1)")
        began = time.monotonic()
        with pytest.raises(SourceUnreachable, match="a transaction has a table"):
            outbox.install()
        assert time.monotonic() - began < 15
        writer.commit()

    # Then the install goes on once it has ended
    outbox.install()
    outbox.drained()
    source.run("INSERT INTO items VALUES (2)")
    assert outbox.changes() == [("upsert", "2")]
    outbox.uninstall()


@pytest.fixture
def owner(postgres_source: SourceDatabase) -> Iterator[str]:
    """A role of the application, which owns a partitioned table `items`."""
    role = f"semilayer_owner_{make_url(postgres_source.url).database}"
    postgres_source.run(
        f"CREATE ROLE {role} LOGIN",
        f"GRANT USAGE, CREATE ON SCHEMA public TO {role}",
        f"SET ROLE {role}; CREATE TABLE items (id int PRIMARY KEY) PARTITION BY RANGE (id); "
        "CREATE TABLE items_0 PARTITION OF items FOR VALUES FROM (0) TO (10); RESET ROLE",
    )
    yield role
    postgres_source.run(f"DROP OWNED BY {role}", f"DROP ROLE {role}")


def test_the_owner_of_a_table_goes_on_making_partitions(
    postgres_source: SourceDatabase, owner: str
) -> None:
    with installed(postgres_source) as outbox:
        postgres_source.run(
            f"SET ROLE {owner}; "
            "CREATE TABLE items_1 PARTITION OF items FOR VALUES FROM (10) TO (20); "
            "INSERT INTO items VALUES (11); RESET ROLE"
        )

        assert outbox.changes() == [("upsert", "11")]
        setup = outbox.setup()
        assert "GRANT" not in " ".join(setup.to_install())
        setup.close()


def test_a_user_who_may_not_grant_is_told_who_may(
    postgres_source: SourceDatabase, owner: str
) -> None:
    # Given triggers that an administrator made, before owners got a right to their function
    outbox = Outbox(postgres_source, {"items": ("id",)})
    role = f"{outbox.name}_reader"
    postgres_source.run(
        f"CREATE ROLE {role} LOGIN",
        f"GRANT USAGE ON SCHEMA public TO {role}",
        f"GRANT SELECT ON items TO {role}",
    )
    try:
        plain = outbox.setup()
        plain._session.arguments["user"] = role
        admin = outbox.setup()
        admin.run(plain.to_install())
        admin.run([f"REVOKE ALL ON ALL FUNCTIONS IN SCHEMA {outbox.name} FROM {owner}"])

        # Then what is left is not for this user to run
        assert [statement.split()[0] for statement in plain.to_install()] == ["GRANT"]
        assert [finding.stops for finding in plain.findings()] == [True]
        plain.close()
        admin.close()
    finally:
        outbox.uninstall()
        postgres_source.run(f"DROP OWNED BY {role}", f"DROP ROLE {role}")


def test_the_right_to_make_triggers_alone_is_too_little(
    source: SourceDatabase,
) -> None:
    # Given a role that may make triggers on a table, and may not have them fire always
    outbox = Outbox(source, {"items": ("id",)})
    role = f"{outbox.name}_maker"
    source.run(
        f"CREATE ROLE {role} LOGIN",
        f"GRANT USAGE ON SCHEMA public TO {role}",
        f"GRANT SELECT, TRIGGER ON items TO {role}",
        f"GRANT CREATE ON DATABASE {make_url(source.url).database} TO {role}",
    )
    try:
        setup = outbox.setup()
        setup._session.arguments["user"] = role
        [finding] = setup.findings()
        setup.close()
    finally:
        source.run(f"DROP OWNED BY {role}", f"DROP ROLE {role}")

    assert finding.stops
    assert "may not make triggers on public.items" in finding.told


def test_odd_names_are_quoted(postgres_source: SourceDatabase) -> None:
    table, column = 'Odd "$semilayer$" \\ \'table', 'Key "of" it\'s \\'
    quoted = table.replace('"', '""'), column.replace('"', '""')
    postgres_source.run('CREATE TABLE "{}" ("{}" int PRIMARY KEY)'.format(*quoted))
    with installed(postgres_source, {table: (column,)}) as outbox:
        postgres_source.run(f'INSERT INTO "{quoted[0]}" VALUES (1)')

        assert outbox.changes() == [("upsert", "1")]
