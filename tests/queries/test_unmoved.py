"""A table that nobody writes to costs a look at its largest value, and no walk at all."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

from semilayer_pipelines.bridges.times import is_over
from semilayer_pipelines.orchestration.schedules import make_due_jobs
from semilayer_pipelines.project import Project, Settings
from semilayer_pipelines.queries import unmoved as module
from semilayer_pipelines.queries.checks import Check, check_lens
from semilayer_pipelines.queries.state import read_lens
from semilayer_pipelines.registry import jobs
from semilayer_pipelines.registry.jobs import Mode
from tests import servers
from tests.clock import Clock
from tests.lab import ENV, Lab
from tests.proxy import Proxy
from tests.sources import SourceDatabase

FIELDS = {"name": {"type": "text", "searchable": True}}
ROWS = 40
TYPES = {
    "sqlite": ("TEXT", "'2024-05-01 11:00:00'", "'2024-05-01 12:01:00'"),
    "postgres": ("TIMESTAMPTZ", "'2024-05-01 11:00:00Z'", "'2024-05-01 12:01:00Z'"),
    "mariadb": ("DATETIME", "'2024-05-01 11:00:00'", "'2024-05-01 12:01:00'"),
}


@dataclass
class Table:
    """A lens whose rows were all loaded in one moment; its own clock goes by minutes."""

    lab: Lab
    source: SourceDatabase
    clock: Clock

    def tick(self) -> str:
        return make_due_jobs(self.lab.project, Mode.INCREMENTAL, "1m").told

    def minute(self) -> int:
        """Let a minute pass, and do what the tick asks for; return how many rows were read."""
        self.clock.go_on(60)
        self.tick()
        with self.lab.project.registry.read() as db:
            queued = jobs.queued(db, self.lab.lens.id)
        return sum(self.lab.run(job).counts.read for job in queued)


@pytest.fixture
def table(source: SourceDatabase, tmp_path: Path) -> Iterator[Table]:
    kind, moment, _ = TYPES[source.kind]
    source.run(f"CREATE TABLE items (id INTEGER PRIMARY KEY, name TEXT, updated_at {kind})")
    rows = ", ".join(f"({n}, 'thing {n}', {moment})" for n in range(ROWS))
    source.run(f"INSERT INTO items VALUES {rows}")
    clock = Clock()
    settings = Settings.from_environ({"SEMILAYER_ENV": ENV}, tmp_path)
    lab = Lab(Project(settings, {"SHOP": source.url}, clock), tmp_path, connection="${SHOP}")
    lab.push(fields=FIELDS, syncInterval="1m")
    lab.full()
    yield Table(lab, source, clock)
    lab.project.registry.close()


def test_rows_of_one_moment_are_read_again_once_and_then_never(table: Table) -> None:
    # given what the walk after the rebuild looks at again
    assert table.minute() in (ROWS, 2 * ROWS)

    # when nothing is written for an hour
    read = [table.minute() for _ in range(6)]

    # then nothing is read, no run is launched, and the tick says why
    assert sum(read[1:]) == 0
    assert "nothing moved in its table since the last one" in table.tick()

    # and whatever moves is found by the next tick
    _, _, later = TYPES[table.source.kind]
    table.source.run(f"UPDATE items SET name = 'moved', updated_at = {later} WHERE id = 7")
    table.source.run(f"INSERT INTO items VALUES (100, 'new', {later})")
    assert 2 <= table.minute() < ROWS
    assert table.lab.audit().clean


def test_a_table_that_nobody_writes_to_is_not_behind(table: Table) -> None:
    def fresh() -> bool:
        lens = table.lab.lens
        (verdict,) = check_lens(table.lab.project, lens, frozenset({Check.FRESH}), seed=1).values()
        return verdict.passed

    # given a table that was quiet for longer than its index may be old
    for _ in range(10):
        table.minute()

    # then the last tick tells that its index is as new as the table
    assert read_lens(table.lab.project, "items", env=ENV).as_of == table.clock()
    assert fresh()

    # and once no tick comes any more, nobody knows that
    table.clock.go_on(600)
    assert not fresh()


def test_a_walk_that_a_caller_asks_for_ends_as_soon(table: Table) -> None:
    for _ in range(3):
        table.minute()

    assert table.lab.run(table.lab.request(Mode.INCREMENTAL)).counts.read == 0


def test_a_source_that_goes_back_to_an_earlier_day_is_walked(table: Table) -> None:
    for _ in range(3):
        table.minute()

    table.source.run("UPDATE items SET updated_at = '2024-04-01 11:00:00'")

    assert table.tick() == "Queued: test/items."


@pytest.fixture
def away(postgres_database: str, tmp_path: Path) -> Iterator[tuple[Lab, Proxy, Clock]]:
    """Yield two lenses over a server that can be cut, of which both are quiet."""
    url = servers.emptied(postgres_database)
    servers.execute(
        url,
        "CREATE TABLE items (id INTEGER PRIMARY KEY, name TEXT, updated_at TIMESTAMPTZ)",
        "INSERT INTO items VALUES (1, 'one', '2024-05-01 11:00:00Z')",
    )
    server, clock = make_url(url), Clock()
    proxy = Proxy(server.host or "127.0.0.1", server.port or 5432)
    through = server.set(drivername="postgresql", host="127.0.0.1", port=proxy.port)
    environ = {"SHOP": through.render_as_string(hide_password=False)}
    project = Project(Settings.from_environ({"SEMILAYER_ENV": ENV}, tmp_path), environ, clock)
    lab = Lab(project, tmp_path, connection="${SHOP}")
    lab.push("others", fields=FIELDS, syncInterval="1m")
    for name in ("others", "items"):
        lab.name = name
        lab.full()
        for _ in range(2):
            clock.go_on(60)
            lab.run(lab.request(Mode.INCREMENTAL))
    yield lab, proxy, clock
    proxy.cut()
    project.registry.close()


def test_an_outage_does_not_break_a_tick_and_has_the_jobs_made(
    away: tuple[Lab, Proxy, Clock],
) -> None:
    lab, proxy, _ = away
    assert make_due_jobs(lab.project, Mode.INCREMENTAL, "1m").told.startswith("Nothing queued.")

    proxy.cut()

    told = make_due_jobs(lab.project, Mode.INCREMENTAL, "1m").told
    assert told == "Queued: test/items, test/others."


def test_a_source_that_does_not_answer_is_given_up_once_a_tick(
    away: tuple[Lab, Proxy, Clock],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    # given a table that somebody holds locked, which is how a server answers nothing
    lab, _, _ = away
    monkeypatch.setattr(module, "ANSWER_MS", 300)
    url = make_url(lab.project.environ["SHOP"])
    import psycopg

    with psycopg.connect(
        host="127.0.0.1", port=url.port, user=url.username, password=url.password,
        dbname=url.database,
    ) as holder:  # fmt: skip
        holder.execute("LOCK TABLE items IN ACCESS EXCLUSIVE MODE")
        with caplog.at_level("INFO"):
            told = make_due_jobs(lab.project, Mode.INCREMENTAL, "1m").told

    assert told == "Queued: test/items, test/others."
    [given_up] = [said for said in caplog.messages if "its source was not asked" in said]
    assert "300 ms" in given_up, given_up


def test_nobody_listening_costs_the_tick_next_to_nothing(away: tuple[Lab, Proxy, Clock]) -> None:
    lab, _, _ = away
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        gone = make_url(lab.project.environ["SHOP"]).set(port=free.getsockname()[1])
    environ = {"SHOP": gone.render_as_string(hide_password=False)}

    told = make_due_jobs(replace(lab.project, environ=environ), Mode.INCREMENTAL, "1m").told

    assert told == "Queued: test/items, test/others."


@pytest.mark.parametrize(
    ("text", "over_after"),
    [
        ("2024-05-01 12:00:00", timedelta(seconds=1)),
        ("2024-05-01T12:00:00.250Z", timedelta(seconds=1)),
        ("2024-05-01 14:00:00+02:00", timedelta(seconds=1)),
        ("2024-05-01 12:00", timedelta(hours=14, minutes=1)),
        ("2024-05-01", timedelta(hours=26)),
    ],
)
def test_a_time_is_over_when_no_clock_can_show_it_any_more(
    text: str, over_after: timedelta
) -> None:
    now = Clock().now

    assert is_over(text, now + over_after, timedelta(0))
    assert not is_over(text, now + over_after - timedelta(seconds=1), timedelta(0))
    assert not is_over(text, now + over_after, timedelta(seconds=1))


def test_a_time_that_no_calendar_has_is_over() -> None:
    assert is_over("0000-00-00 00:00:00", Clock().now, timedelta(0))
