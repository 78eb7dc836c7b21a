"""What `init` proposes for the tables of real databases."""

from __future__ import annotations

from semilayer_pipelines.bridges.sql import SqlBridge
from semilayer_pipelines.starter.candidates import Candidate, candidate
from tests.sources import SourceDatabase


def proposed(source: SourceDatabase, table: str) -> Candidate | str:
    bridge: SqlBridge = source.another_bridge()
    return candidate(bridge, bridge.table(table), any_texts=False)


def lens(source: SourceDatabase, table: str) -> Candidate:
    found = proposed(source, table)
    assert isinstance(found, Candidate), found
    return found


def embedded(found: Candidate) -> list[str]:
    return [field.name for field in found.fields if field.searchable]


def test_a_unique_key_that_is_never_null_stands_in_for_a_primary_one(
    source: SourceDatabase,
) -> None:
    source.run(
        f"CREATE TABLE goods (name {source.type('text')} NOT NULL, sku {source.type('text')} "
        f"NOT NULL, nr INTEGER NOT NULL, maybe INTEGER, about {source.type('text')})",
        "CREATE UNIQUE INDEX by_name ON goods (name, sku)",
        "CREATE UNIQUE INDEX by_sku ON goods (sku)",
        "CREATE UNIQUE INDEX by_maybe ON goods (maybe)",
        "CREATE UNIQUE INDEX by_nr ON goods (nr)",
        "INSERT INTO goods VALUES ('a', 'b', 1, 1, 'a red wool scarf')",
    )

    found = lens(source, "goods")

    assert (found.key, found.own_key) == (("nr",), False)


def test_unique_keys_that_may_miss_a_row_are_none(source: SourceDatabase) -> None:
    source.run(
        f"CREATE TABLE goods (maybe INTEGER UNIQUE, about {source.type('text')})",
        "INSERT INTO goods VALUES (1, 'a red wool scarf')",
    )

    found = proposed(source, "goods")
    if source.kind == "sqlite":
        assert isinstance(found, Candidate)
        assert (found.key, found.own_key, found.numbered) == (("rowid",), False, True)
    else:
        assert "no unique one" in str(found)


def test_a_table_that_numbers_no_rows_is_none_without_a_key(
    sqlite_source: SourceDatabase,
) -> None:
    sqlite_source.run(
        "CREATE TABLE plain (about TEXT)",
        "INSERT INTO plain VALUES ('a red wool scarf')",
        "CREATE VIEW goods AS SELECT about FROM plain",
    )

    assert "no unique one" in str(proposed(sqlite_source, "goods"))
    assert lens(sqlite_source, "plain").key == ("rowid",)


def test_a_partial_index_or_one_over_an_expression_is_no_key(
    postgres_source: SourceDatabase,
) -> None:
    postgres_source.run(
        "CREATE TABLE goods (nr INT NOT NULL, code TEXT NOT NULL, about TEXT, "
        "late INT NOT NULL DEFAULT 1 UNIQUE DEFERRABLE INITIALLY DEFERRED)",
        "CREATE UNIQUE INDEX ON goods (nr) WHERE nr > 5",
        "CREATE UNIQUE INDEX ON goods (lower(code))",
        "INSERT INTO goods VALUES (1, 'a', 'a red wool scarf')",
    )

    assert "no unique one" in str(proposed(postgres_source, "goods"))


def test_a_materialised_view_has_the_key_of_its_index(postgres_source: SourceDatabase) -> None:
    postgres_source.run(
        "CREATE TABLE film (id INT PRIMARY KEY, title TEXT)",
        "INSERT INTO film VALUES (1, 'a film of words')",
        "CREATE MATERIALIZED VIEW best AS SELECT id, title FROM film",
        "CREATE UNIQUE INDEX ON best (id)",
        "CREATE MATERIALIZED VIEW gaps AS SELECT NULLIF(id, 1) AS id, title FROM film",
        "CREATE UNIQUE INDEX ON gaps (id)",
    )

    assert lens(postgres_source, "best").key == ("id",)
    assert "no unique one" in str(proposed(postgres_source, "gaps"))


def test_partitions_are_left_to_their_root(postgres_source: SourceDatabase) -> None:
    postgres_source.run(
        "CREATE TABLE event (id INT, at DATE, body TEXT, PRIMARY KEY (id, at)) "
        "PARTITION BY RANGE (at)",
        "CREATE TABLE event_24 PARTITION OF event FOR VALUES FROM ('2024-01-01') TO ('2025-01-01') "
        "PARTITION BY RANGE (at)",
        "CREATE TABLE event_24_a PARTITION OF event_24 DEFAULT",
        "INSERT INTO event VALUES (1, '2024-02-02', 'a body of words')",
    )

    assert postgres_source.another_bridge().tables() == ["event"]
    assert embedded(lens(postgres_source, "event")) == ["body"]
    # A lens that names a partition goes on.
    assert postgres_source.another_bridge().table("event_24_a").key == ("id", "at")


def test_arrays_enums_and_documents_of_postgresql_are_kept(
    postgres_source: SourceDatabase,
) -> None:
    postgres_source.run(
        "DROP TYPE IF EXISTS mood",
        "CREATE TYPE mood AS ENUM ('glad', 'sad')",
        "CREATE TABLE goods (id INT PRIMARY KEY, names TEXT[], sizes INT[], days TIMESTAMPTZ[], "
        "codes VARCHAR(9)[], mood mood, about JSONB, facts JSONB, at INET)",
        "INSERT INTO goods VALUES (1, ARRAY['a sturdy desk', 'red'], ARRAY[1, 2], NULL, "
        """ARRAY['x1'], 'glad', '{"en": "a sturdy desk"}', '{"legs": 4}', '10.0.0.1')""",
    )

    found = lens(postgres_source, "goods")

    kinds = {field.name: (field.type.value, field.array) for field in found.fields}
    assert kinds == {
        "id": ("number", False),
        "names": ("text", True),
        "sizes": ("number", True),
        "days": ("date", True),
        "codes": ("text", True),
        "mood": ("text", False),
        "about": ("json", False),
        "facts": ("json", False),
    }
    assert embedded(found) == ["names", "about"]


def test_texts_in_binary_columns_are_texts_and_pictures_are_left(
    mariadb_source: SourceDatabase,
) -> None:
    mariadb_source.run(
        "CREATE TABLE page (id INT PRIMARY KEY, title VARBINARY(255) NOT NULL, body MEDIUMBLOB, "
        "picture LONGBLOB, touched BINARY(14), page_updated DATETIME)",
        "INSERT INTO page VALUES (1, 'a title of words', 'a body of words', x'89504E470D0A', "
        "'20240101000000', NOW())",
    )

    found = lens(mariadb_source, "page")

    assert embedded(found) == ["title", "body"]
    assert "picture" not in {field.name for field in found.fields}


def test_what_looks_personal_is_never_embedded_and_named(source: SourceDatabase) -> None:
    text = source.type("text")
    source.run(
        f"CREATE TABLE contact (id INTEGER PRIMARY KEY, about {text}, phone {text}, "
        f"work_email {text}, ssn {text}, code {text})",
        "INSERT INTO contact VALUES (1, 'likes long walks', 'call me maybe', 'me at home', "
        "'see my file', '+1 555 0100')",
        f"CREATE TABLE people (id INTEGER PRIMARY KEY, email {text}, phone {text})",
        "INSERT INTO people VALUES (1, 'a b c', 'd e f')",
    )

    found = lens(source, "contact")

    assert embedded(found) == ["about"]
    assert found.personal == ("phone", "work_email")
    assert found.left_out == ("ssn",)
    assert "personal: email, phone" in str(proposed(source, "people"))
