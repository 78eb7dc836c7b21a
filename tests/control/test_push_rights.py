"""A right that is lost is told as one, by a push and by a sync, and never as a wrong condition."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import pytest
from sqlalchemy import make_url

from semilayer_pipelines.errors import NotPermitted, SchemaMismatch, SemilayerError
from semilayer_pipelines.stores.protocol import KEY
from tests.lab import Lab
from tests.sources import SourceDatabase

COLUMNS = ("id", "title", "state")


@dataclass(frozen=True)
class Reader:
    """A user of a source with a table `notes`, and the lens that it reads for."""

    lab: Lab
    source: SourceDatabase
    users: tuple[str, ...]

    def may(self, right: str) -> None:
        """Give the user this right on the table, and no other."""
        listed = ", ".join(COLUMNS)
        for user in self.users:
            self.source.run(
                f"GRANT SELECT, SELECT ({listed}) ON notes TO {user}",
                f"REVOKE SELECT, SELECT ({listed}) ON notes FROM {user}",
                f"GRANT SELECT {right} ON notes TO {user}",
            )

    def push(self, where: str | None = "state = 'ok'") -> None:
        fields = {"title": {"type": "text", "searchable": True}}
        self.lab.push(table="notes", primaryKey="id", where=where, fields=fields)


@pytest.fixture(params=["postgres", "mariadb"])
def reader(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Reader]:
    source = cast(SourceDatabase, request.getfixturevalue(f"{request.param}_source"))
    url = make_url(source.url)
    name = f"reader_{(url.database or '')[-8:]}"
    source.run(
        f"CREATE TABLE notes (id INTEGER PRIMARY KEY, title {source.type('text')}, "
        f"state {source.type('text')})",
        "CREATE TABLE seen (id INTEGER PRIMARY KEY)",
        "INSERT INTO notes VALUES (1, 'one note', 'ok'), (2, 'another note', 'no')",
    )
    if request.param == "postgres":
        users: tuple[str, ...] = (name,)
        source.run(
            f"CREATE ROLE {name} LOGIN PASSWORD 's3cret'",
            "GRANT USAGE ON SCHEMA public TO PUBLIC",
        )
        gone: tuple[str, ...] = (f"DROP OWNED BY {name}", f"DROP ROLE {name}")
    else:
        users = tuple(f"{name}@'{host}'" for host in ("localhost", "127.0.0.1", "%%"))
        for user in users:
            source.run(f"CREATE USER {user} IDENTIFIED BY 's3cret'")
        gone = tuple(f"DROP USER {user}" for user in users)
    for user in users:
        source.run(f"GRANT SELECT ON seen TO {user}")
    connection = url.set(username=name, password="s3cret").render_as_string(hide_password=False)
    environ = {"READER_URL": connection}
    lab = replace(Lab.opened(tmp_path, environ), connection="${READER_URL}")
    yield Reader(lab, source, users)
    source.run(*gone)


def keys(reader: Reader) -> list[str]:
    return sorted(reader.lab.indexed()[KEY])


def told(reader: Reader, where: str | None = "state = 'ok'") -> SemilayerError:
    with pytest.raises(SemilayerError) as refused:
        reader.push(where)
    assert "no condition" not in str(refused.value)
    return refused.value


def test_a_right_that_was_lost_is_told_by_push_and_by_sync(reader: Reader) -> None:
    reader.may("")
    reader.push()
    reader.lab.full()
    indexed = keys(reader)
    reader.may("(id, title)")

    for push_of in ("state = 'ok'", "state = 'ok' AND id > 0"):  # unchanged, changed
        error = told(reader, push_of)
        assert isinstance(error, NotPermitted)
        assert "denied" in error.message
        assert "Grant the user SELECT on it" in error.cure
    with pytest.raises(NotPermitted, match="does not let its user read what the lens needs"):
        reader.lab.sync(full_walk=True)
    assert keys(reader) == indexed == ["1"]


def test_a_table_that_may_not_be_read_is_told_before_the_first_run(reader: Reader) -> None:
    error = told(reader, None)

    if reader.source.kind == "mariadb":  # which shows nothing of it
        assert isinstance(error, SchemaMismatch)
        assert "a server may show a user only those that it may read" in error.cure
    else:
        assert isinstance(error, NotPermitted)
    assert error.key == "table"


def test_a_column_that_no_lens_needs_may_be_unreadable(reader: Reader) -> None:
    reader.may("(id, title)")

    reader.push(None)

    reader.lab.full()
    assert keys(reader) == ["1", "2"]
    for number in (3, 4):
        reader.source.run(
            f"INSERT INTO notes VALUES ({number}, 'a note', 'ok')",
            f"DELETE FROM notes WHERE id = {number - 2}",
        )
        reader.lab.sync()
        assert keys(reader) == [str(number - 1), str(number)]


def test_a_right_to_the_column_of_a_field_that_was_lost_is_told_as_one(reader: Reader) -> None:
    reader.may("")
    reader.push(None)
    reader.lab.full()
    reader.may("(id, state)")

    error = told(reader, None)

    if reader.source.kind == "mariadb":  # which shows nothing of it
        assert isinstance(error, SchemaMismatch)
        assert "grant the user SELECT" in error.cure
    else:
        assert isinstance(error, NotPermitted)
    with pytest.raises(type(error)):
        reader.lab.sync(full_walk=True)
    assert keys(reader) == ["1", "2"]
