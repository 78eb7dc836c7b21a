"""A full ingest whose vectors a provider makes in its own time: whole, and nothing paid twice."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from starlette.responses import JSONResponse, Response

from semilayer_pipelines.cli import follow
from semilayer_pipelines.cli.status_document import status_of
from semilayer_pipelines.config.embedding import EmbeddingConfig
from semilayer_pipelines.control import lifecycle
from semilayer_pipelines.embedders import retry
from semilayer_pipelines.embedders.endpoint import forget_paces
from semilayer_pipelines.errors import ConfigError, EmbedderUnavailable
from semilayer_pipelines.ingest import batch_texts, batched
from semilayer_pipelines.ingest.left_batches import drop_left_over
from semilayer_pipelines.ingest.retention import tidy
from semilayer_pipelines.ingest.run_job import Outcome, RunEnd, run_job
from semilayer_pipelines.project import Project
from semilayer_pipelines.registry import batches, jobs, lenses
from semilayer_pipelines.registry.jobs import Job, JobStatus, endings
from tests.clock import Clock
from tests.embedders.batches_double import BatchesDouble
from tests.embedders.limited import Limited, limited
from tests.ingest.chunked import chunked, wrong
from tests.ingest.test_kill import give_up_on_the_dead
from tests.lab import ENV, Lab
from tests.mortal import Died, Life, dies_at, mortal

ROWS = 1_100
"""Enough for batches of 400, of which the last has few texts."""


@pytest.fixture
def endpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Limited]:
    """An endpoint with batches; a batch holds 500 texts, and 200 are worth one."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(batch_texts, "MAX_FILE_TEXTS", 500)
    monkeypatch.setattr(batched, "MIN_TEXTS", 200)
    forget_paces()
    with limited(has_batches=True) as running:
        yield running


def lab_of(folder: Path, endpoint: Limited, *, rows: int = ROWS, shards: int = 1) -> Lab:
    embedding = {"provider": "openai", "model": "m", "url": endpoint.url, "dimensions": 8}
    return Lab.at(folder, rows=rows, embedding=embedding | {"batch": True}, shards=shards)


def asked(lab: Lab) -> Job:
    return lifecycle.request_rebuild(lab.project, ENV, lab.name)


def to_the_end(lab: Lab, job: Job, provider: BatchesDouble, *, runs: int = 12) -> Outcome:
    """Run a job again and again while the provider does its batches; return how it ended."""
    for _ in range(runs):
        outcome = run_job(lab.project, job.id)
        if outcome.ended is not RunEnd.WAITING:
            return outcome
        provider.do_all()
    raise AssertionError("it waits for ever")


def state_of(lab: Lab, job: Job) -> Job:
    with lab.project.registry.read() as db:
        return jobs.get(db, job.id)


def test_a_run_sends_batches_and_leaves_and_the_index_is_whole_once_they_are_done(
    tmp_path: Path, endpoint: Limited
) -> None:
    lab, provider = lab_of(tmp_path, endpoint), endpoint.batches
    job = asked(lab)

    # when the first run has sent what it has
    first = run_job(lab.project, job.id)

    # then it has left, the job is queued and well, and people are told what it waits for
    assert first.ended is RunEnd.WAITING
    queued = state_of(lab, job)
    assert (queued.status, queued.failing) == (JobStatus.QUEUED, False)
    assert queued.due_at > lab.project.clock()
    assert [len(provider.texts_of(one)) for one in provider.of("in_progress")] == [500, 500]
    told = status_of(lab.project, ENV, lab.name).lenses[0].progress or ""
    assert "full: waits for 2 batches of the provider: 0 of 1,000 texts are done, since 20" in told
    assert not endpoint.seen

    # when nothing is done yet, the next run leaves again, and nothing is sent again
    assert run_job(lab.project, job.id).ended is RunEnd.WAITING
    assert len(provider.batches) == 2
    told = status_of(lab.project, ENV, lab.name).lenses[0].progress or ""
    assert "2 batches of the provider, until 2024-05-02T12:00:00Z at the latest: 0 of" in told

    done = to_the_end(lab, job, provider)
    assert (done.ended, done.counts.written) == (RunEnd.COMPLETED, ROWS)
    assert set(endpoint.seen.values()) == {1}
    assert lab.audit().clean
    # and nothing is left, neither here nor there
    assert not provider.files
    with lab.project.registry.read() as db:
        assert batches.awaited(db, lab.lens.id) is None
        assert not batches.left_over(db)


def test_few_texts_go_at_once_and_so_does_every_other_mode(
    tmp_path: Path, endpoint: Limited
) -> None:
    lab, provider = lab_of(tmp_path, endpoint, rows=150), endpoint.batches

    assert lab.full().ended is RunEnd.COMPLETED
    with lab.source() as db:
        db.execute("UPDATE items SET name = 'new ' || id")
        db.execute("INSERT INTO items (id, name) SELECT id + 1000, 'more ' || id FROM items")
    assert lab.sync().counts.embedded > 200

    assert not provider.batches
    assert lab.audit().clean


def test_a_rebuild_takes_vectors_over_and_sends_the_others_alone(
    tmp_path: Path, endpoint: Limited
) -> None:
    lab, provider = lab_of(tmp_path, endpoint), endpoint.batches
    to_the_end(lab, asked(lab), provider)
    with lab.source() as db:
        db.execute("UPDATE items SET name = 'new ' || id WHERE id <= 300")

    done = to_the_end(lab, asked(lab), provider)

    assert (done.counts.embedded, done.counts.reused) == (300, ROWS - 300)
    assert set(endpoint.seen.values()) == {1}
    assert lab.audit().clean


def test_rows_that_change_while_batches_are_done_are_in_the_index_as_they_are(
    tmp_path: Path, endpoint: Limited
) -> None:
    lab, provider = lab_of(tmp_path, endpoint), endpoint.batches
    job = asked(lab)
    run_job(lab.project, job.id)

    with lab.source() as db:
        db.execute("UPDATE items SET name = 'new ' || id WHERE id % 100 = 1")
        db.execute("DELETE FROM items WHERE id % 100 = 2")
        db.execute("INSERT INTO items (id, name) VALUES (5000, 'late'), (5001, 'later')")

    assert to_the_end(lab, job, provider).ended is RunEnd.COMPLETED
    assert lab.audit().clean


def test_chunks_of_long_texts_are_made_by_batches_too(tmp_path: Path, endpoint: Limited) -> None:
    told = {"provider": "openai", "model": "m", "url": endpoint.url, "batch": True}
    lab = chunked(tmp_path, 90, embedding=told)

    done = to_the_end(lab, asked(lab), endpoint.batches)

    assert done.counts.embedded == len(endpoint.batches.paid) > 200
    assert not endpoint.statuses
    assert not wrong(lab)


def test_a_pause_keeps_the_batches_for_the_resume(tmp_path: Path, endpoint: Limited) -> None:
    lab, provider = lab_of(tmp_path, endpoint), endpoint.batches
    job = asked(lab)
    run_job(lab.project, job.id)

    lifecycle.pause(lab.project, ENV, lab.name)
    assert run_job(lab.project, job.id).ended is RunEnd.PAUSED
    tidy(lab.project)
    provider.do_all()
    lifecycle.resume(lab.project, ENV, lab.name)

    assert run_job(lab.project, job.id).ended is RunEnd.COMPLETED
    assert provider.asked["POST /files"] == 2
    assert set(endpoint.seen.values()) == {1}


def test_files_that_cannot_be_deleted_fail_nothing(tmp_path: Path, endpoint: Limited) -> None:
    lab, provider = lab_of(tmp_path, endpoint), endpoint.batches
    provider.refused["DELETE /files/{id}"] = JSONResponse({"error": "you may not"}, 403)

    assert to_the_end(lab, asked(lab), provider).ended is RunEnd.COMPLETED
    assert lab.audit().clean


def test_who_follows_the_job_is_told_what_it_waits_for(
    tmp_path: Path, endpoint: Limited, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab, provider = lab_of(tmp_path, endpoint), endpoint.batches
    job = asked(lab)
    run_job(lab.project, job.id)
    monkeypatch.setattr(follow, "PATIENCE_SECONDS", -1.0)
    lines = []

    def tell(line: str) -> None:
        lines.append(line)
        if "waits for" in line:
            to_the_end(lab, job, provider)

    follow.follow(lab.project, [job.id], tell=tell)

    assert lines[0].startswith("items: waits for 2 batches of the provider")
    assert "full completed" in lines[-1]


@pytest.mark.parametrize("absent", [None, ""])
@pytest.mark.parametrize("status", ["expired", "cancelled", "failed"])
def test_texts_that_a_batch_did_not_do_are_embedded_at_once_and_that_is_said(
    status: str,
    absent: str | None,
    tmp_path: Path,
    endpoint: Limited,
    caplog: pytest.LogCaptureFixture,
) -> None:
    lab, provider = lab_of(tmp_path, endpoint), endpoint.batches
    provider.absent = absent
    job = asked(lab)
    run_job(lab.project, job.id)
    one, two = provider.of("in_progress")

    provider.do(one, status=status, most=30 if status != "failed" else 0)
    provider.do(two)
    with caplog.at_level(logging.WARNING):
        assert run_job(lab.project, job.id).ended is RunEnd.COMPLETED

    assert f"is {status}, and has no vector for" in caplog.text
    assert ("The provider says: It could not be" in caplog.text) is (status == "expired")
    assert set(endpoint.seen.values()) == {1}
    assert lab.audit().clean


def test_a_text_that_the_batch_refuses_costs_its_row_and_no_other(
    tmp_path: Path, endpoint: Limited, caplog: pytest.LogCaptureFixture
) -> None:
    lab, provider = lab_of(tmp_path, endpoint), endpoint.batches
    endpoint.poison = "poison"
    with lab.source() as db:
        db.execute("UPDATE items SET name = 'poison' WHERE id = 7")
        db.execute("UPDATE items SET description = printf('%.*c', 40000, 'x') WHERE id = 8")

    with caplog.at_level(logging.WARNING):
        done = to_the_end(lab, asked(lab), provider)

    assert "The provider says: maximum context length is 8192 tokens" in caplog.text
    counts = done.counts
    assert (counts.written, counts.failed, counts.truncated) == (ROWS - 1, 1, 1)
    assert set(endpoint.seen.values()) <= {1, 2}  # only what was tried shorter was sent again


@pytest.mark.parametrize("at_once", [None, 400, 429])
def test_batches_that_the_account_has_no_room_for_are_created_again_later(
    at_once: int | None, tmp_path: Path, endpoint: Limited
) -> None:
    lab, provider = lab_of(tmp_path, endpoint), endpoint.batches
    provider.queued, provider.says_so_at_once = 500, at_once
    job = asked(lab)

    assert run_job(lab.project, job.id).ended is RunEnd.WAITING
    assert len(provider.of("in_progress")) == 1
    assert len(provider.of("failed")) == (0 if at_once else 1)
    provider.do_all()
    assert to_the_end(lab, job, provider).ended is RunEnd.COMPLETED

    # neither was sent a second time, nor embedded at once
    assert provider.asked["POST /files"] == 2
    assert provider.asked["POST /batches"] == 3
    assert set(endpoint.seen.values()) == {1}


def test_a_provider_that_never_has_room_stops_nothing_for_good(
    tmp_path: Path, endpoint: Limited, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batched, "MAX_CREATED", 2)
    clock = Clock()
    lab, provider = lab_of(tmp_path, endpoint), endpoint.batches
    lab.project = Project(lab.project.settings, lab.project.environ, clock)
    provider.queued = 0
    job = asked(lab)

    while run_job(lab.project, job.id).ended is RunEnd.WAITING:
        clock.go_on(60)

    # Once it is clear of the first batch, none of the others waits as long.
    assert len(provider.of("failed")) == 3
    assert set(endpoint.seen.values()) == {1}
    assert lab.audit().clean


def test_a_batch_that_never_has_room_costs_no_other_one_its_vectors(
    tmp_path: Path, endpoint: Limited, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batched, "MAX_CREATED", 2)
    clock = Clock()
    lab, provider = lab_of(tmp_path, endpoint), endpoint.batches
    lab.project = Project(lab.project.settings, lab.project.environ, clock)
    job = asked(lab)
    run_job(lab.project, job.id)
    first, second = provider.of("in_progress")
    provider.fail(first, "token_limit_exceeded", "Enqueued token limit reached.")
    provider.do(second)
    provider.queued = 0

    while run_job(lab.project, job.id).ended is RunEnd.WAITING:
        clock.go_on(60)

    assert sum(provider.paid.values()) == 500
    assert set(endpoint.seen.values()) == {1}
    assert lab.audit().clean


@pytest.mark.parametrize("lost", ["POST /files", "POST /batches"])
def test_what_was_sent_without_an_answer_is_found_again(
    lost: str, tmp_path: Path, endpoint: Limited
) -> None:
    lab, provider = lab_of(tmp_path, endpoint), endpoint.batches
    provider.pages = 1  # so that it is looked for on more than one page
    provider.lost[lost] = 1
    job = asked(lab)

    with pytest.raises(EmbedderUnavailable):
        run_job(lab.project, job.id)

    assert to_the_end(lab, job, provider).ended is RunEnd.COMPLETED
    assert provider.asked["POST /files"] == 2
    assert set(endpoint.seen.values()) == {1}
    assert not provider.files


def test_every_shard_has_batches_of_its_own(tmp_path: Path, endpoint: Limited) -> None:
    lab, provider = lab_of(tmp_path, endpoint, shards=3), endpoint.batches
    job = asked(lab)

    for number in range(3):
        assert run_job(lab.project, job.id, shard=number).ended is RunEnd.WAITING
    assert len(provider.of("in_progress")) == 3
    provider.do_all()
    ends = [run_job(lab.project, job.id, shard=number).ended for number in range(3)]

    assert ends[-1] is RunEnd.COMPLETED
    assert set(endpoint.seen.values()) == {1}
    assert lab.audit().clean


@pytest.mark.parametrize("removed", [False, True])
def test_a_full_ingest_that_is_cancelled_or_whose_lens_is_removed_cancels_its_batches(
    removed: bool, tmp_path: Path, endpoint: Limited
) -> None:
    lab, provider = lab_of(tmp_path, endpoint), endpoint.batches
    job = asked(lab)
    run_job(lab.project, job.id)
    drop_left_over(lab.project)
    assert len(provider.of("in_progress")) == 2  # as long as somebody waits

    lens_id = lab.lens.id
    with lab.project.registry.begin() as db:
        if removed:
            lenses.remove(db, lens_id)
        else:
            assert jobs.cancel(db, job.id, lab.project.clock())
            endings.let_rest(db, lens_id, lab.project.clock())
    tidy(lab.project)
    tidy(lab.project)
    assert provider.asked["POST /batches/{id}/cancel"] == provider.end_cancelling() == 2
    tidy(lab.project)

    assert not provider.files
    with lab.project.registry.read() as db:
        assert not batches.left_over(db)


def test_a_lens_that_is_pushed_with_another_address_begins_there_and_leaves_no_batch_behind(
    tmp_path: Path, endpoint: Limited
) -> None:
    lab, provider = lab_of(tmp_path, endpoint), endpoint.batches
    job = asked(lab)
    run_job(lab.project, job.id)
    with limited(has_batches=True) as other:
        embedding = {"provider": "openai", "model": "m", "url": other.url, "dimensions": 8}
        lab.push(embedding=embedding | {"batch": True})

        # when the job goes on, the batches that were sent are cancelled, and sent there instead
        assert run_job(lab.project, job.id).ended is RunEnd.WAITING
        assert [len(other.batches.texts_of(one)) for one in other.batches.of("in_progress")] == [
            500,
            500,
        ]
        assert len(provider.of("cancelling")) == 2
        assert to_the_end(lab, job, other.batches).ended is RunEnd.COMPLETED
        assert lab.audit().clean
    assert not endpoint.seen


@pytest.mark.parametrize("path", ["GET /batches/{id}", "GET /batches"])
def test_a_gateway_that_finds_nothing_loses_no_batch(
    path: str, tmp_path: Path, endpoint: Limited, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry, "MAX_ATTEMPTS", 1)
    lab, provider = lab_of(tmp_path, endpoint), endpoint.batches
    job = asked(lab)
    if path == "GET /batches":
        provider.lost["POST /batches"] = 1
        with pytest.raises(EmbedderUnavailable):
            run_job(lab.project, job.id)
    else:
        run_job(lab.project, job.id)

    provider.refused[path] = Response("<html>Not Found</html>", 404)
    with pytest.raises(EmbedderUnavailable):
        run_job(lab.project, job.id)

    provider.refused.clear()
    assert to_the_end(lab, job, provider).ended is RunEnd.COMPLETED
    assert len(provider.batches) == 2
    assert set(endpoint.seen.values()) == {1}


def test_a_status_that_nobody_knows_is_waited_for_and_not_for_ever(
    tmp_path: Path, endpoint: Limited
) -> None:
    clock = Clock()
    lab, provider = lab_of(tmp_path, endpoint), endpoint.batches
    lab.project = Project(lab.project.settings, lab.project.environ, clock)
    job = asked(lab)
    run_job(lab.project, job.id)
    for one in provider.of("in_progress"):
        one["status"] = "queued"

    assert run_job(lab.project, job.id).ended is RunEnd.WAITING
    assert not endpoint.seen

    clock.go_on(batched.LONGEST_WAIT.total_seconds() + 1)
    assert run_job(lab.project, job.id).ended is RunEnd.COMPLETED
    assert provider.asked["POST /batches/{id}/cancel"] == 2
    assert lab.audit().clean


def test_pages_of_long_texts_go_into_batches_as_a_whole(
    tmp_path: Path, endpoint: Limited, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Fewer texts than the first page of a walk has.
    monkeypatch.setattr(batch_texts, "MAX_FILE_TEXTS", 300)
    lab, provider = lab_of(tmp_path, endpoint), endpoint.batches
    job = asked(lab)

    run_job(lab.project, job.id)

    assert to_the_end(lab, job, provider).ended is RunEnd.COMPLETED
    # The last page of 350 rows does not fit either, and few texts are left behind it.
    assert sum(provider.paid.values()) == 3 * 250 + 175
    assert set(endpoint.seen.values()) == {1}
    assert lab.audit().clean


def test_a_lens_that_is_pushed_with_another_model_leaves_no_batch_behind(
    tmp_path: Path, endpoint: Limited
) -> None:
    lab, provider = lab_of(tmp_path, endpoint), endpoint.batches
    run_job(lab.project, asked(lab).id)
    before = provider.of("in_progress")

    embedding = {"provider": "openai", "model": "n", "url": endpoint.url, "dimensions": 8}
    lab.push(embedding=embedding | {"batch": True})
    job = asked(lab)
    run_job(lab.project, job.id)

    assert {one["status"] for one in before} == {"cancelling"}
    provider.end_cancelling()
    assert to_the_end(lab, job, provider).ended is RunEnd.COMPLETED
    assert lab.audit().clean
    tidy(lab.project)
    assert not provider.files


def test_a_lens_that_is_pushed_without_batches_goes_on_without_them(
    tmp_path: Path, endpoint: Limited
) -> None:
    lab, provider = lab_of(tmp_path, endpoint), endpoint.batches
    run_job(lab.project, asked(lab).id)

    embedding = {"provider": "openai", "model": "m", "url": endpoint.url, "dimensions": 8}
    lab.push(embedding=embedding)

    assert run_job(lab.project, asked(lab).id).ended is RunEnd.COMPLETED
    assert len(provider.of("cancelling")) == 2
    assert lab.audit().clean


def test_batches_that_were_cancelled_for_a_change_that_was_taken_back_are_sent_again(
    tmp_path: Path, endpoint: Limited
) -> None:
    lab, provider = lab_of(tmp_path, endpoint), endpoint.batches
    job = asked(lab)
    run_job(lab.project, job.id)
    before = provider.of("in_progress")

    embedding = {"provider": "openai", "model": "m", "url": endpoint.url, "dimensions": 8}
    lab.push(embedding=embedding)
    drop_left_over(lab.project)
    lab.push(embedding=embedding | {"batch": True})

    # Nothing goes at the usual price, neither while they are being cancelled nor afterwards.
    assert run_job(lab.project, job.id).ended is RunEnd.WAITING
    provider.end_cancelling()
    assert to_the_end(lab, job, provider).ended is RunEnd.COMPLETED
    assert {one["status"] for one in before} == {"cancelled"}
    assert sum(provider.paid.values()) == 1_000
    assert set(endpoint.seen.values()) == {1}
    assert lab.audit().clean
    tidy(lab.project)
    assert not provider.files


def test_batches_of_an_account_that_the_key_is_no_more_of_are_sent_again_but_one(
    tmp_path: Path, endpoint: Limited
) -> None:
    lab, provider = lab_of(tmp_path, endpoint), endpoint.batches
    job = asked(lab)
    run_job(lab.project, job.id)
    provider.batches.clear()

    assert to_the_end(lab, job, provider).ended is RunEnd.COMPLETED
    assert sum(provider.paid.values()) == 500
    assert set(endpoint.seen.values()) == {1}
    assert lab.audit().clean


def test_an_endpoint_without_batches_is_told_by_a_sentence(tmp_path: Path) -> None:
    with limited() as endpoint:
        lab = lab_of(tmp_path, endpoint)
        with pytest.raises(ConfigError, match="has no batches") as refused:
            run_job(lab.project, asked(lab).id)
    assert "Take 'batch: true' out" in refused.value.cure


@pytest.mark.parametrize(
    "url",
    [
        "https://res.openai.azure.com/openai/v1",
        "https://api.mistral.ai/v1",
        "https://api.voyageai.com/v1",
    ],
)
def test_a_provider_whose_batches_cannot_be_used_is_refused_by_the_push(
    url: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="'batch' is for OpenAI"):
        Lab.at(tmp_path, rows=5, embedding={"provider": "openai", "url": url, "batch": True})


def test_batches_are_no_part_of_the_model() -> None:
    told = {"provider": "openai", "url": "https://api.openai.com/v1"}
    one, other = EmbeddingConfig(**told), EmbeddingConfig(**told, batch=True)
    assert one.same_model(other)
    with pytest.raises(ValueError, match="has no 'batch'"):
        EmbeddingConfig(provider="hash", batch=True)


def test_looks_become_rarer(tmp_path: Path, endpoint: Limited) -> None:
    clock = Clock()
    lab, _ = lab_of(tmp_path, endpoint), endpoint.batches
    lab.project = Project(lab.project.settings, lab.project.environ, clock)
    job = asked(lab)

    waits = []
    for _ in range(3):
        run_job(lab.project, job.id)
        waits.append(state_of(lab, job).due_at - clock())
        clock.go_on(3_000)

    assert waits == [timedelta(minutes=1), timedelta(minutes=5), timedelta(minutes=10)]


PAGE = 40


def small_lab(folder: Path, endpoint: Limited, monkeypatch: pytest.MonkeyPatch) -> Lab:
    """A table of nine pages, of which two fit into a batch, and the last is not worth one."""
    monkeypatch.setattr(batch_texts, "MAX_FILE_TEXTS", 2 * PAGE)
    monkeypatch.setattr(batched, "MIN_TEXTS", PAGE)
    monkeypatch.setattr(batched, "MAX_UNDER_WAY", 3)
    folder.mkdir(exist_ok=True)
    return lab_of(folder, endpoint, rows=9 * PAGE - 10)


def lives(lab: Lab, endpoint: Limited, life: Life) -> bool:
    """Run the job to its end in a process that may die; say whether it did not."""
    job = asked(lab)
    try:
        for _ in range(12):
            run = mortal(lab.project, life, page_rows=PAGE)
            if run_job(run, job.id).ended is not RunEnd.WAITING:
                return True
            endpoint.batches.do_all()
    except Died:
        give_up_on_the_dead(lab)
        return False
    raise AssertionError("it waits for ever")


def assert_whole(lab: Lab, endpoint: Limited) -> None:
    paid = endpoint.batches.paid
    assert set(paid.values()) == {1}
    assert {endpoint.seen[text] for text in paid} == {1}, "embedded at once, too"
    # A page that goes at once is embedded again where a run died with it, as in every mode.
    assert (len(paid), len(endpoint.seen), max(endpoint.seen.values()) < 3) == (320, 350, True)
    assert lab.audit().clean
    assert not endpoint.batches.files
    with lab.project.registry.read() as db:
        assert not batches.left_over(db)


DEATHS = [
    ("provider.send.done", 2),
    ("provider.create.done", 1),
    ("provider.create.done", 2),
    ("provider.fetch.done", 1),
    ("index.add.done", 1),
    ("provider.delete.done", 2),
]


@pytest.mark.parametrize(("step", "time"), DEATHS)
def test_a_run_that_dies_finds_its_batches_again(
    step: str,
    time: int,
    tmp_path: Path,
    endpoint: Limited,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    lab = small_lab(tmp_path, endpoint, monkeypatch)

    assert not lives(lab, endpoint, dies_at(time, lambda what: what == step))
    assert lives(lab, endpoint, Life(lambda *_: None))

    assert_whole(lab, endpoint)
    assert "at the usual price" not in caplog.text


def test_texts_that_went_at_once_while_batch_was_off_are_in_no_batch_that_costs(
    tmp_path: Path, endpoint: Limited, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = small_lab(tmp_path, endpoint, monkeypatch)
    run_job(lab.project, asked(lab).id)
    assert len(endpoint.batches.of("in_progress")) == 3

    embedding = {"provider": "openai", "model": "m", "url": endpoint.url, "dimensions": 8}
    lab.push(embedding=embedding)
    assert not lives(lab, endpoint, dies_at(5, lambda what: what == "index.add.done"))
    at_once = {*endpoint.seen}
    lab.push(embedding=embedding | {"batch": True})
    assert lives(lab, endpoint, Life(lambda *_: None))

    # Pages whose rows were not noted when the run died are embedded again, as in every mode.
    assert len(at_once) >= 5 * PAGE
    assert len(at_once & {*endpoint.batches.paid}) <= 3 * PAGE
    assert len(endpoint.batches.paid) <= (9 - 3) * PAGE
    assert lab.audit().clean


PARTS = 4


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
def test_whatever_step_a_run_dies_at_the_index_is_whole_and_nothing_is_paid_twice(
    part: int, tmp_path: Path, endpoint: Limited, monkeypatch: pytest.MonkeyPatch
) -> None:
    def counts(what: str) -> bool:
        return what == "registry.committed" or (what.startswith("provider.") and "done" in what)

    for number in range(1 + part, 1_000, PARTS):
        lab = small_lab(tmp_path / str(number), endpoint, monkeypatch)
        survived = lives(lab, endpoint, dies_at(number, counts))
        if not survived:
            assert lives(lab, endpoint, Life(lambda *_: None)), number
        assert_whole(lab, endpoint)
        endpoint.seen.clear()
        endpoint.batches.paid.clear()
        if survived:
            assert number > 100
            return
    raise AssertionError("it never comes to the end")
