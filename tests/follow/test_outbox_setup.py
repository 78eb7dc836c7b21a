"""Installing an outbox: what is made, what is refused, and that nothing is left of it."""

from __future__ import annotations

import pytest

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


def test_odd_names_are_quoted(postgres_source: SourceDatabase) -> None:
    table, column = 'Odd "$semilayer$" \\ \'table', 'Key "of" it\'s \\'
    quoted = table.replace('"', '""'), column.replace('"', '""')
    postgres_source.run('CREATE TABLE "{}" ("{}" int PRIMARY KEY)'.format(*quoted))
    with installed(postgres_source, {table: (column,)}) as outbox:
        postgres_source.run(f'INSERT INTO "{quoted[0]}" VALUES (1)')

        assert outbox.changes() == [("upsert", "1")]
