"""Client, webhook and registry say the same on the wire, whoever changes one of them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from semilayer_pipelines import client
from semilayer_pipelines.client.buffer import take_batch
from semilayer_pipelines.client.responses import Response, read_error, read_job, read_receipt
from semilayer_pipelines.client.service import Service
from semilayer_pipelines.counts import Counts
from semilayer_pipelines.http.contract import (
    INGEST_MODES,
    INGEST_PATH,
    JOB_PATH,
    MAX_CHANGES,
    MAX_ID_CHARACTERS,
    MAX_JOB_WAIT_S,
    MAX_RESULTS,
    TERMINAL_STATUSES,
    Action,
    JobStatus,
    Mode,
    ReceiptStatus,
)
from semilayer_pipelines.registry import changes, jobs
from webhook.openapi import openapi
from webhook.service.ingest_body import read_ingest
from webhook.service.problems import Code, Problem
from webhook.service.responses import IngestResponse, JobResponse

NOW = datetime(2026, 1, 2, tzinfo=UTC)
SERVICE = Service.at("https://ingest.test", "products")


def test_every_word_is_defined_once() -> None:
    assert client.Action is changes.Action is Action
    assert client.JobStatus is jobs.JobStatus is JobStatus
    assert jobs.Mode is Mode
    assert client.ReceiptStatus is ReceiptStatus


def test_the_document_says_the_words_and_the_limits() -> None:
    document = openapi()
    schemas = document["components"]["schemas"]

    def enum(name: str) -> set[str]:
        return set(schemas[name]["enum"])

    assert "post" in document["paths"][INGEST_PATH]
    (wait,) = (p for p in document["paths"][JOB_PATH]["get"]["parameters"] if p["in"] == "query")
    assert (wait["name"], wait["schema"]["maximum"]) == ("wait", MAX_JOB_WAIT_S)
    assert enum("Action") == set(Action)
    assert enum("Mode") == set(Mode)
    assert enum("JobStatus") == set(JobStatus)
    assert enum("ReceiptStatus") == set(ReceiptStatus)
    asked = schemas["IngestRequest"]["properties"]
    assert asked["mode"]["enum"] == list(INGEST_MODES)
    assert asked["changes"]["maxItems"] == MAX_CHANGES
    assert schemas["ChangeEntry"]["properties"]["id"]["maxLength"] == MAX_ID_CHARACTERS
    assert schemas["SearchRequest"]["properties"]["limit"]["maximum"] == MAX_RESULTS


@pytest.mark.parametrize("id", ["42", '["7","en"]', 'a"b\\c\n\x01', "é🜚", "x" * MAX_ID_CHARACTERS])
@pytest.mark.parametrize("action", Action)
def test_the_webhook_reads_what_the_client_writes(id: str, action: Action) -> None:
    _, body = take_batch([client.Change(id, action)])

    assert read_ingest(body) == (Mode.RECORDS, [(id, action)])


def test_the_client_fills_a_call_as_far_as_the_webhook_takes_it() -> None:
    _, body = take_batch(client.Change(str(n), Action.DELETE) for n in range(MAX_CHANGES + 1))

    _, read = read_ingest(body)

    assert len(read) == MAX_CHANGES


@pytest.mark.parametrize("mode", ["full", "incremental"])
def test_the_webhook_reads_every_mode_that_the_client_asks_for(mode: Any) -> None:
    assert read_ingest(SERVICE.ingest(mode).body) == (Mode(mode), [])


@pytest.mark.parametrize(
    "written",
    [
        IngestResponse(job_id="j-1", status=ReceiptStatus.QUEUED, changes_buffered=7),
        IngestResponse(job_id=None, status=ReceiptStatus.DEDUPLICATED, changes_buffered=1),
        IngestResponse(job_id="j-2", status=ReceiptStatus.QUEUED),
    ],
)
def test_the_client_reads_every_field_of_a_receipt(written: IngestResponse) -> None:
    body = written.model_dump_json(by_alias=True, exclude_unset=True).encode()

    read = read_receipt(Response(202, body))

    assert read == client.Receipt(written.job_id, written.status, written.changes_buffered)


@pytest.mark.parametrize("status", JobStatus)
def test_the_client_reads_every_status_of_a_job_its_counts_and_its_error(
    status: JobStatus,
) -> None:
    counts = Counts(*range(1, len(Counts().as_dict()) + 1))
    written = JobResponse(
        id="j-1",
        lens="products",
        mode=Mode.RECORDS,
        status=status,
        origin="webhook",
        attempt=2,
        counts=counts.as_dict(),
        error="The source said no.",
        cure="Ask it why.",
        run_id=None,
        created_at=NOW,
        due_at=NOW,
        started_at=None,
        ended_at=None,
        failed=[],
    )

    read = read_job(Response(200, written.model_dump_json(by_alias=True).encode()))

    assert read == client.JobState("j-1", status, counts, "The source said no.")
    assert read.ended is (status in TERMINAL_STATUSES)


@pytest.mark.parametrize("code", Code)
def test_the_client_reads_the_code_and_the_message_of_every_problem(code: Code) -> None:
    body = Problem(code, "It cannot be.", "Do something else.").body()

    assert read_error(Response(code.status, body)) == (code.word, "It cannot be.")


def test_a_name_that_the_client_does_not_know_is_no_receipt() -> None:
    # the near case: what would happen if only one of the two were renamed
    told = json.dumps({"job_id": "j-1", "state": "queued"}).encode()

    with pytest.raises(ValueError, match="unknown status"):
        read_receipt(Response(202, told))
