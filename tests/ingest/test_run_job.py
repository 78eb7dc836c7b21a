"""However a job ends, its row and its lens say so, with reason and cure, without a secret."""

from __future__ import annotations

import socket
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy.engine import make_url

from semilayer_pipelines.config.embedding import EmbeddingConfig
from semilayer_pipelines.config.models import ProjectConfig
from semilayer_pipelines.control import lifecycle
from semilayer_pipelines.control.push import plan_push
from semilayer_pipelines.embedders.prompts import BuiltWith
from semilayer_pipelines.embedders.protocol import Embedded, Embedder
from semilayer_pipelines.embedders.reading import Reading
from semilayer_pipelines.errors import (
    ConfigError,
    DimensionChanged,
    GuardStopped,
    ModelUnavailable,
    Refused,
    SchemaMismatch,
    SemilayerError,
    SourceRefused,
    SourceUnreachable,
    StoreUnavailable,
    Terminal,
    TooManyFailures,
)
from semilayer_pipelines.ingest.run_job import RunEnd, run_job
from semilayer_pipelines.project import Project
from semilayer_pipelines.registry import changes, jobs, lenses
from semilayer_pipelines.registry.changes import Action
from semilayer_pipelines.registry.jobs import Job, JobStatus, Mode
from semilayer_pipelines.registry.jobs.waits import FIRST_WAIT
from semilayer_pipelines.registry.lenses import LensStatus
from tests.lab import ENV, Lab
from tests.meddling import Meddled

PASSWORD = "hunter2-and-more"


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    """Give an index of which every row changed since."""
    lab = Lab.at(tmp_path, rows=300)
    lab.full()
    with lab.source() as db:
        db.execute("UPDATE items SET name = 'new ' || id")
    return lab


def job_now(lab: Lab, job: Job) -> Job:
    with lab.project.registry.read() as db:
        return jobs.get(db, job.id)


def failing(lab: Lab, job: Job, kind: type[SemilayerError], project: Project | None = None) -> str:
    """Run a job that must fail with this error, and wait to be tried again; return what is told."""
    with pytest.raises(kind) as raised:
        run_job(project or lab.project, job.id)
    now = job_now(lab, job)
    assert (now.status, now.attempt) == (JobStatus.QUEUED, 2)
    assert now.due_at > lab.project.clock() + FIRST_WAIT / 2
    assert now.error == raised.value.message
    assert (lab.lens.status, lab.lens.error) == (LensStatus.ERROR, now.error)
    assert raised.value.lens == "items"
    return str(raised.value)


def test_a_no_is_told_at_once_and_asked_for_again_after_a_while(lab: Lab) -> None:
    def refuse(_: Sequence[str]) -> None:
        raise ModelUnavailable("The key was refused.", cure="Check the key.")

    job = lab.request(Mode.SMART_SYNC)
    failing(lab, job, ModelUnavailable, Meddled.of(lab.project, refuse))

    assert lab.lens.cure == "Check the key."
    assert not lab.lens.needs_you


def test_a_configuration_that_cannot_work_stops_the_lens_until_a_person_corrects_it(
    tmp_path: Path,
) -> None:
    # given a source whose variable is set nowhere any more
    file = f"sqlite:///{tmp_path}/source.db"
    lab = Lab.at(tmp_path, rows=5)
    lab.connection = "${SHOP}"
    lab.project = Project(lab.project.settings, {"SHOP": file})
    lab.push()
    lab.full()
    job = lab.request(Mode.SMART_SYNC)

    # when
    with pytest.raises(ConfigError, match="SHOP"):
        run_job(Project(lab.project.settings, {}), job.id)

    # then
    assert job_now(lab, job).status is JobStatus.FAILED
    assert (lab.lens.status, lab.lens.needs_you) == (LensStatus.ERROR, True)
    resumed = lifecycle.resume(lab.project, ENV, "items").job
    assert resumed is not None
    lab.run(resumed)
    assert (lab.lens.status, lab.lens.needs_you) == (LensStatus.READY, False)


def test_a_fault_of_ours_fails_with_its_type_and_message_and_no_password(lab: Lab) -> None:
    def break_down(_: Sequence[str]) -> None:
        raise ZeroDivisionError(f"while reading postgresql://me:{PASSWORD}@db/shop")

    said = failing(lab, lab.request(Mode.SMART_SYNC), Terminal, Meddled.of(lab.project, break_down))

    assert "ZeroDivisionError: while reading postgresql://me:***@db/shop" in said
    assert PASSWORD not in said


def test_a_store_that_fails_for_a_moment_is_written_to_again(lab: Lab) -> None:
    failures = [StoreUnavailable("busy"), StoreUnavailable("busy")]

    def busy(verb: str) -> None:
        if verb == "upsert" and failures:
            raise failures.pop()

    outcome = run_job(Meddled.of(lab.project, before=busy), lab.request(Mode.SMART_SYNC).id)

    assert outcome.counts.written == 300
    assert not failures
    assert lab.audit().clean


def test_an_append_whose_answer_was_lost_is_not_made_twice(tmp_path: Path) -> None:
    lab = Lab.at(tmp_path, rows=600)
    job, rows = lifecycle.request_rebuild(lab.project, ENV, "items"), []

    def lose(verb: str) -> None:
        if verb not in {"add", "upsert"}:
            return
        building = lab.building()
        assert building is not None
        rows.append(lab.project.store(ENV).open(building.index_name).count())
        if len(rows) == 1:
            raise StoreUnavailable("the connection broke")

    run_job(Meddled.of(lab.project, after=lose), job.id)

    assert rows[0] == rows[1]
    assert rows[-1] == 600
    assert lab.audit().clean


def test_a_store_that_stays_away_has_the_job_tried_again_later(lab: Lab) -> None:
    def away(verb: str) -> None:
        if verb == "lock":
            raise StoreUnavailable("no answer")

    job = lab.request(Mode.SMART_SYNC)
    with pytest.raises(StoreUnavailable):
        run_job(Meddled.of(lab.project, before=away), job.id)

    now = job_now(lab, job)
    assert (now.status, now.attempt, now.error) == (JobStatus.QUEUED, 2, "no answer")
    assert lab.lens.status is LensStatus.READY
    lab.run(job)
    assert lab.audit().clean


def test_an_error_stays_until_what_failed_was_done(lab: Lab) -> None:
    # given a sync that stopped
    with lab.source() as db:
        db.execute("DELETE FROM items WHERE id <= 200")
    with pytest.raises(GuardStopped):
        lab.sync()
    error = lab.lens.error

    # when a row that was named goes through
    with lab.project.registry.begin() as db:
        changes.append(db, lab.lens.id, [("300", Action.UPSERT)], lab.project.clock())
    assert lab.run(lab.request(Mode.RECORDS)).counts.read == 1

    # then the lens still says that it stopped, and what is resumed is the sync
    assert (lab.lens.status, lab.lens.error) == (LensStatus.ERROR, error)
    resumed = lifecycle.resume(lab.project, ENV, "items", confirmed=True).job
    assert resumed is not None
    assert lab.run(resumed).counts.deleted == 200
    assert (lab.lens.status, lab.lens.error) == (LensStatus.READY, None)


def test_a_lens_says_indexing_until_its_rebuild_is_done(lab: Lab) -> None:
    job, seen = lifecycle.request_rebuild(lab.project, ENV, "items"), []

    def sync_meanwhile(_: Sequence[str]) -> None:
        lab.run(lab.request(Mode.SMART_SYNC))
        seen.append(lab.lens.status)

    run_job(Meddled.of(lab.project, sync_meanwhile), job.id)

    assert set(seen) == {LensStatus.INDEXING}
    assert lab.lens.status is LensStatus.READY
    assert lab.audit().clean


def test_a_shards_run_that_fails_for_a_moment_does_not_have_the_rest_done_again(
    tmp_path: Path,
) -> None:
    lab = Lab.at(tmp_path, rows=400, shards=2)
    job = lifecycle.request_rebuild(lab.project, ENV, "items")

    def fail_in_the_other(_: Sequence[str]) -> None:
        def unreachable(_: Sequence[str]) -> None:
            raise SourceUnreachable("gone for a moment")

        with lab.project.registry.read() as db:
            attempt = jobs.get(db, job.id).attempt
        if attempt == 1:
            with pytest.raises(SourceUnreachable):
                run_job(Meddled.of(lab.project, unreachable), job.id, shard=1)

    assert (
        run_job(Meddled.of(lab.project, fail_in_the_other), job.id, shard=0).ended
        is RunEnd.SHARE_DONE
    )
    assert job_now(lab, job).status is JobStatus.QUEUED
    assert lab.run(job, shard=1).ended is RunEnd.COMPLETED

    now = job_now(lab, job)
    assert (now.status, now.counts.written) == (JobStatus.COMPLETED, 400)
    assert lab.audit().clean


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        ("ALTER TABLE items RENAME TO goods", "goods"),
        ("ALTER TABLE items RENAME COLUMN price TO cost", "cost"),
    ],
)
def test_a_table_or_column_that_went_is_named_with_what_there_is(
    lab: Lab, damage: str, says: str
) -> None:
    with lab.source() as db:
        db.execute(damage)

    told = failing(lab, lab.request(Mode.SMART_SYNC), SchemaMismatch)

    assert ("items" if "TABLE items RENAME TO" in damage else "price") in told
    assert says in told


def test_a_sync_before_the_first_ingest_is_refused_with_what_to_do(tmp_path: Path) -> None:
    lab = Lab.at(tmp_path, rows=5)

    job = lab.request(Mode.SMART_SYNC)

    with pytest.raises(Refused, match="semilayer resume --lens items"):
        run_job(lab.project, job.id)

    # and that is the request's fault alone
    assert job_now(lab, job).status is JobStatus.FAILED
    assert lab.lens.status is LensStatus.PAUSED


def test_rows_that_can_all_not_be_mapped_fail_the_job_with_the_first_as_an_example(
    lab: Lab,
) -> None:
    with lab.source() as db:
        db.execute("UPDATE items SET category = 'unknown'")

    told = failing(lab, lab.request(Mode.SMART_SYNC), TooManyFailures)

    assert "field category" in told
    assert lab.index.count() == 300


class Shorter(Project):
    """A project whose model gives shorter vectors than it did, under the same name."""

    def embedder(self, config: EmbeddingConfig, built: BuiltWith | None = None) -> Embedder:
        return _Shorter(super().embedder(config, built))


class _Shorter:
    def __init__(self, inner: Embedder) -> None:
        self._inner = inner
        self.fingerprint = inner.fingerprint

    def embed(self, texts: Sequence[str]) -> Embedded:
        given = self._inner.embed(texts)
        return Embedded(np.ascontiguousarray(given.vectors[:, :8]), given.truncated)

    def embed_queries(self, texts: Sequence[str]) -> Embedded:
        return self._inner.embed_queries(texts)

    def reading(self) -> Reading | None:
        return self._inner.reading()


def test_a_dimension_that_changed_is_an_error_that_asks_for_a_rebuild(lab: Lab) -> None:
    shorter = Shorter(lab.project.settings, {})

    told = failing(lab, lab.request(Mode.SMART_SYNC), DimensionChanged, shorter)

    assert "8" in told
    assert "384" in told
    assert "rebuild" in told
    assert lab.lens.needs_you
    assert lab.index.count() == 300


def test_a_model_that_cannot_be_loaded_is_named_before_anything_is_registered(
    tmp_path: Path,
) -> None:
    model = {"provider": "sentence-transformers", "model": str(tmp_path / "nowhere")}
    lab = Lab.at(tmp_path, rows=5)

    with pytest.raises(ConfigError, match="nowhere") as raised:
        lab.push(embedding=model)

    assert raised.value.cure
    assert lab.lens.config.embedding.provider == "hash"


def over_postgres(lab: Lab, url: str) -> tuple[Project, ProjectConfig]:
    """Return the project and a configuration, to be pushed, whose source is this database."""
    lens = lab.lens.config.model_dump(by_alias=True, exclude_unset=True) | {"guard": 0.2}
    config = {
        "stack": "test",
        "sources": {"main": {"bridge": "sql", "connection": "${SHOP_URL}", "timeout": 2000}},
        "lenses": {"items": lens},
    }
    return replace(lab.project, environ={"SHOP_URL": url}), ProjectConfig.model_validate(config)


def test_a_refused_connection_may_pass_and_names_the_address_without_the_password(
    lab: Lab,
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listened to: nobody answers here
        port = taken.getsockname()[1]
        url = f"postgresql://me:{PASSWORD}@127.0.0.1:{port}/shop"
        project, config = over_postgres(lab, url)
        with pytest.raises(SourceUnreachable) as raised:
            plan_push(project, config, ENV)

    assert PASSWORD not in str(raised.value)
    assert str(port) in str(raised.value)


def test_a_wrong_password_will_not_pass_and_is_never_shown(
    lab: Lab, postgres_database: str
) -> None:
    # The test server may trust everybody on this machine: an absent role is refused alike.
    url = make_url(postgres_database).set(
        drivername="postgresql", username="nobody_of_this_name", password=PASSWORD
    )
    project, config = over_postgres(lab, url.render_as_string(hide_password=False))

    with pytest.raises(SourceRefused) as raised:
        plan_push(project, config, ENV)

    assert PASSWORD not in str(raised.value)
    assert "nobody_of_this_name" in str(raised.value)


_FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from semilayer_pipelines.errors import StoreFull
from semilayer_pipelines.ingest.run_job import run_job
from semilayer_pipelines.project import Project, Settings
from tests.lab import ENV, Lab

folder, job = Path(sys.argv[1]), sys.argv[2]
lab = Lab(Project(Settings.from_environ({"SEMILAYER_ENV": ENV}, folder), {}), folder)
lab.lens
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, resource.RLIM_INFINITY))
try:
    run_job(lab.project, job)
except StoreFull as full:
    print(full.cure)
"""


def test_a_full_disk_fails_the_attempt_and_the_next_one_makes_up_for_it(tmp_path: Path) -> None:
    lab = Lab.at(tmp_path, rows=2_000)
    lab.full()
    with lab.source() as db:
        db.execute("UPDATE items SET name = 'new ' || id")
    job = lab.request(Mode.SMART_SYNC)
    lab.project.registry.close()  # so that its log is small, and the index is what is refused

    done = subprocess.run(
        [sys.executable, "-c", _FULL_DISK, str(lab.folder), job.id],
        capture_output=True,
        text=True,
        check=False,
    )

    assert "Free disk space" in done.stdout, done.stderr
    assert job_now(lab, job).status is JobStatus.QUEUED
    assert lab.index.count() == 2_000
    lab.sync()
    assert lab.audit().clean


def test_a_source_that_is_locked_for_a_moment_costs_nothing(lab: Lab) -> None:
    with sqlite3.connect(lab.database) as writer:
        writer.execute("BEGIN IMMEDIATE")
        lab.sync()
        writer.rollback()
    writer.close()

    assert lab.audit().clean


def test_a_lens_that_was_removed_ends_its_run(lab: Lab) -> None:
    def remove(_: Sequence[str]) -> None:
        with lab.project.registry.begin() as db:
            lenses.remove(db, lens_id)

    lens_id = lab.lens.id

    with pytest.raises(SemilayerError, match=r"[Nn]o longer registered|no job|taken over"):
        run_job(Meddled.of(lab.project, remove), lab.request(Mode.SMART_SYNC).id)
