"""Rows that the source hides are not gone: nothing passes for empty, ready or in sync for them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

from semilayer_pipelines.bridges.protocol import HiddenRows
from semilayer_pipelines.config.models import ProjectConfig
from semilayer_pipelines.control.push import plan_push
from semilayer_pipelines.errors import SourceRefused
from semilayer_pipelines.queries.audit import audit
from semilayer_pipelines.queries.checks import Check, check_lens
from semilayer_pipelines.queries.hidden_rows import hidden_rows
from semilayer_pipelines.registry import changes
from semilayer_pipelines.registry.changes import Action
from semilayer_pipelines.registry.jobs import Mode
from semilayer_pipelines.registry.lenses import LensStatus
from tests import servers
from tests.lab import ENV, Lab
from tests.sources import SourceDatabase

ROWS = 150
FIELDS = {"body": {"type": "text", "searchable": True}}


@pytest.fixture
def role(postgres_source: SourceDatabase) -> Iterator[str]:
    """A user who may read a table of 150 notes."""
    name = f"semilayer_hidden_{make_url(postgres_source.url).database}"
    postgres_source.run(
        "CREATE TABLE note (id INTEGER PRIMARY KEY, body TEXT, owner TEXT, "
        "updated_at TIMESTAMPTZ NOT NULL DEFAULT now() - interval '1 hour')",
        f"INSERT INTO note SELECT n, 'note ' || n, 'x' FROM generate_series(1, {ROWS}) n",
        "ANALYZE note",
        f"CREATE ROLE {name} LOGIN PASSWORD 's3cret'",
        f"GRANT SELECT ON note TO {name}",
        "GRANT USAGE ON SCHEMA public TO PUBLIC",
    )
    yield name
    servers.execute(postgres_source.url, f"DROP OWNED BY {name}", f"DROP ROLE {name}")


@pytest.fixture
def lab(postgres_source: SourceDatabase, role: str, tmp_path: Path) -> Lab:
    """A project that reads as that user; its lens is pushed and not indexed."""
    url = make_url(postgres_source.url).set(username=role, password="s3cret")
    folder = tmp_path / "project"
    folder.mkdir()
    made = Lab.opened(folder, {"NOTES": url.render_as_string(hide_password=False)})
    made.connection = "${NOTES}"
    made.push(table="note", fields=FIELDS)
    return made


def hide(source: SourceDatabase) -> None:
    source.run("ALTER TABLE note ENABLE ROW LEVEL SECURITY")


def pushed(lab: Lab) -> HiddenRows | None:
    lens = {
        "source": "main",
        "table": "note",
        "fields": FIELDS,
        "embedding": {"provider": "hash"},
        "guard": 0.5,
    }
    config = ProjectConfig.model_validate(
        {
            "stack": "test",
            "sources": {"main": {"bridge": "sql", "connection": lab.connection}},
            "lenses": {"items": lens},
        }
    )
    (planned,) = plan_push(lab.project, config, ENV).lenses
    return planned.hidden


def test_a_first_ingest_of_hidden_rows_leaves_no_empty_index_and_goes_on_once_they_are_shown(
    lab: Lab, postgres_source: SourceDatabase, role: str
) -> None:
    hide(postgres_source)
    told = pushed(lab)
    assert told is not None
    assert told.all_of_them

    with pytest.raises(SourceRefused, match="no policy is for that user") as refused:
        lab.full()

    assert lab.lens.status is LensStatus.ERROR
    assert role in refused.value.cure
    report = audit(lab.project, lab.lens)
    assert not report.in_line
    assert any("row-level security" in problem for problem in report.problems)

    # when somebody does what the message says
    statement = told.cure.split("`")[1]
    assert statement.startswith("CREATE POLICY")
    postgres_source.run(statement)

    assert lab.full().counts.written == ROWS
    assert pushed(lab) is None
    assert audit(lab.project, lab.lens).in_line


@pytest.mark.parametrize("policy", [None, "FOR SELECT USING (owner = current_user)"])
def test_rows_that_are_hidden_later_are_not_deleted_even_if_deletes_are_confirmed(
    lab: Lab, postgres_source: SourceDatabase, policy: str | None
) -> None:
    lab.full()
    if policy:
        postgres_source.run(f"CREATE POLICY mine ON note {policy}")
    hide(postgres_source)

    for confirmed in (False, True):
        with pytest.raises(SourceRefused, match="row-level security of 'note'"):
            lab.sync(confirmed=confirmed)
    with pytest.raises(SourceRefused, match="row-level security of 'note'"):
        lab.full()
    with pytest.raises(SourceRefused, match="row-level security"):
        lab.run(lab.request(Mode.INCREMENTAL))

    assert lab.index.count() == ROWS
    report = audit(lab.project, lab.lens)
    assert not report.in_line
    [verdict] = check_lens(lab.project, lab.lens, frozenset({Check.ROWS}), seed=1).values()
    assert not verdict.passed
    assert "row-level security" in verdict.told


def test_a_named_row_that_is_hidden_is_not_taken_for_a_delete(
    lab: Lab, postgres_source: SourceDatabase
) -> None:
    lab.full()
    hide(postgres_source)
    with lab.project.registry.begin() as db:
        changes.append(db, lab.lens.id, [("7", Action.UPSERT)], lab.project.clock())
    job = lab.request(Mode.RECORDS)

    with pytest.raises(SourceRefused, match="no policy is for that user"):
        lab.run(job)

    assert lab.index.fetch(["7"]).height == 1


def test_a_policy_that_shows_some_rows_is_told_and_these_rows_are_in_sync(
    lab: Lab, postgres_source: SourceDatabase, role: str
) -> None:
    postgres_source.run(
        "CREATE POLICY first ON note FOR SELECT USING (id <= 100)",
    )
    hide(postgres_source)
    told = pushed(lab)
    assert told is not None
    assert "'first'" in told.reason
    assert not told.all_of_them

    assert lab.full().counts.written == 100

    report = audit(lab.project, lab.lens)
    assert report.in_line
    assert report.hidden is not None
    assert hidden_rows(lab.project, lab.lens) == report.hidden


def test_the_cure_for_each_kind_of_hiding_shows_the_rows(
    lab: Lab, postgres_source: SourceDatabase, role: str
) -> None:
    # an owner who is bound by force, and a restrictive policy that no other policy undoes
    postgres_source.run(f"ALTER TABLE note OWNER TO {role}")
    hide(postgres_source)
    postgres_source.run("ALTER TABLE note FORCE ROW LEVEL SECURITY")
    forced = pushed(lab)
    assert forced is not None
    assert "NO FORCE ROW LEVEL SECURITY" in forced.cure

    postgres_source.run("CREATE POLICY but ON note AS RESTRICTIVE FOR SELECT USING (id > 100)")
    restricted = pushed(lab)
    assert restricted is not None
    assert "CREATE POLICY" not in restricted.cure
    postgres_source.run(restricted.cure.split("`")[1])

    assert pushed(lab) is None
    assert lab.full().counts.written == ROWS


def test_a_joined_table_that_hides_rows_is_told_and_its_rows_are_not_proven(
    lab: Lab, postgres_source: SourceDatabase, role: str
) -> None:
    # Given notes with the names of their owners, a name that shows for a while
    postgres_source.run(
        "CREATE TABLE owner (id TEXT PRIMARY KEY, name TEXT)",
        "INSERT INTO owner VALUES ('x', 'Ada')",
        "CREATE TABLE clock (day INTEGER)",
        "INSERT INTO clock VALUES (1)",
        f"GRANT SELECT ON owner, clock TO {role}",
        "CREATE POLICY soon ON owner FOR SELECT USING ((SELECT day FROM clock) > 1)",
        "ALTER TABLE owner ENABLE ROW LEVEL SECURITY",
    )
    joins = {"who": {"table": "owner", "on": {"owner": "id"}}}
    name = {"type": "text", "from": "who.name"}
    lab.push(table="note", fields={**FIELDS, "name": name}, joins=joins)
    lab.full()
    report = audit(lab.project, lab.lens)
    assert report.in_line
    assert report.hidden is not None
    assert "'soon'" in report.hidden.reason
    assert lab.sync().counts.proven == 0

    # When it shows, and nobody wrote to notes or owners
    postgres_source.run("UPDATE clock SET day = 2")

    # Then the next sync reads it
    assert lab.sync().counts.written == ROWS
    assert lab.object_of("7")["name"] == "Ada"
