"""Looking a job up, and waiting for its end."""

from __future__ import annotations

import time

import pytest

from semilayer_pipelines.client import JobState, JobStatus, RequestRefused
from semilayer_pipelines.client.responses import Response, Unreadable, read_job
from semilayer_pipelines.counts import Counts
from tests.client.given import client
from tests.client.service import Service

RUNNING = {"id": "a/b", "status": "running", "counts": {"read": 3}}
DONE = {"id": "a/b", "status": "completed", "counts": {"read": 9, "written": 2}, "error": None}


def test_a_job_is_looked_up_by_its_id(service: Service) -> None:
    service.jobs = [RUNNING]
    with client(service) as products:
        job = products.job("a/b")
    assert job == JobState("a/b", JobStatus.RUNNING, Counts(read=3))
    assert not job.ended
    assert service.paths == ["/v1/jobs/a%2Fb"]


def test_waiting_ends_with_the_job_even_if_the_service_answers_too_soon(
    service: Service,
) -> None:
    service.jobs = [RUNNING, DONE]
    with client(service) as products:
        job = products.job("a/b", wait=40)
    assert job.ended
    assert job.counts == Counts(read=9, written=2)
    # The service holds one look-up for 30 seconds at most
    assert service.paths[0] == "/v1/jobs/a%2Fb?wait=30"
    assert len(service.paths) == 2


def test_waiting_ends_with_the_time_given(service: Service) -> None:
    service.jobs = [RUNNING]
    with client(service) as products:
        started = time.monotonic()
        assert not products.job("a/b", wait=0.3).ended
        assert 0.3 <= time.monotonic() - started < 20


def test_something_that_is_no_job_is_refused(service: Service) -> None:
    service.jobs = [{"hello": "world"}]
    with client(service) as products, pytest.raises(RequestRefused, match="without an id"):
        products.job("1")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"[" * 100_000,
        b'{"id": "1", "status": "lost"}',
        b'{"id": "1", "status": "queued", "counts": {"read": "x"}}',
        b'{"id": "1", "status": "queued", "counts": {"read": null}}',
        b'{"id": "1", "status": "queued", "counts": {"read": 1e999}}',
        b"\xff",
    ],
)
def test_an_unreadable_answer_says_so(content: bytes) -> None:
    with pytest.raises(Unreadable):
        read_job(Response(200, content))
