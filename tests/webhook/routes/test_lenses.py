from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from semilayer_pipelines.registry import cursors, failed_rows, jobs
from semilayer_pipelines.registry.jobs import Mode
from semilayer_pipelines.registry.lenses import LensStatus, Needs
from tests.lab import ENV as LAB_ENV
from tests.lab import Lab
from tests.webhook.lab_site import LabSite
from tests.webhook.site import Site, error_of


@pytest.fixture(scope="module")
def indexed(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A service over a real project whose lens is indexed; tests only look at it."""
    lab = Lab.at(tmp_path_factory.mktemp("indexed"), rows=50)
    lab.full()
    yield from LabSite.opened(lab)


@pytest.fixture
def lab_site(tmp_path: Path) -> Any:
    """The same, to be changed."""
    lab = Lab.at(tmp_path, rows=20)
    lab.full()
    yield from LabSite.opened(lab)


def test_a_lens_tells_how_it_stands(site: Site) -> None:
    site.push("1", "2")
    site.clock.go_on(7.5)
    site.push("3")
    with site.project.registry.begin() as db:
        lens = site.lens()
        failed_rows.record(db, lens.id, {"9": ("s", "r")}, job_id="j", now=site.clock())
        told = {"settled": None, "seen_at": site.clock(), "now": site.clock()}
        cursors.begin(db, lens.id, "h", **told)

    answer = site.call("GET", "/v1/lenses/items").json()

    assert (answer["name"], answer["status"], answer["needs"]) == ("items", "ready", "nothing")
    assert (answer["buffered"], answer["lagSeconds"], answer["failed"]) == (3, 7.5, 1)
    assert (answer["cursor"]["cursor"], answer["cursor"]["highWater"]) == (None, "h")
    assert answer["generation"] is None
    assert answer["lastJob"]["status"] == "queued"
    assert answer["running"] == []


def test_an_indexed_lens_tells_its_generation_and_what_its_last_job_did(
    indexed: LabSite,
) -> None:
    answer = indexed.call("GET", "/v1/lenses/items").json()

    assert answer["generation"]["number"] == 1
    assert answer["generation"]["sourceRows"] == 50
    assert answer["lastJob"]["counts"]["written"] == 50
    assert (answer["buffered"], answer["lagSeconds"]) == (0, 0.0)


def test_all_lenses_of_the_environment_are_listed_and_none_of_another(site: Site) -> None:
    site.add_lens("zebra")
    site.add_lens("elsewhere", env="production")

    answer = site.call("GET", "/v1/lenses").json()

    assert [lens["name"] for lens in answer["lenses"]] == ["items", "zebra"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/lenses/itmes"),
        ("PATCH", "/v1/lenses/itmes"),
        ("POST", "/v1/lenses/itmes/pause"),
        ("POST", "/v1/lenses/itmes/resume"),
        ("POST", "/v1/lenses/itmes/sync"),
        ("GET", "/v1/failed/itmes"),
        ("GET", "/v1/lenses/1%00"),
        ("POST", "/v1/lenses/elsewhere/pause"),
    ],
)
def test_a_lens_that_is_not_there_is_not_found(site: Site, method: str, path: str) -> None:
    site.add_lens("elsewhere", env="production")
    body = {"guard": 0.5} if method == "PATCH" else None

    assert error_of(site.call(method, path, body))[:2] == (404, "lens_not_found")


def test_failed_rows_are_listed_the_latest_first(site: Site) -> None:
    with site.project.registry.begin() as db:
        for number in range(5):
            site.clock.go_on(1)
            failed = {f"r{number}": ("mapping", f"reason {number}")}
            failed_rows.record(db, site.lens().id, failed, job_id="j", now=site.clock())

    answer = site.call("GET", "/v1/failed/items?limit=2").json()

    assert answer["total"] == 5
    assert [(row["id"], row["reason"]) for row in answer["failed"]] == [
        ("r4", "reason 4"),
        ("r3", "reason 3"),
    ]
    assert error_of(site.call("GET", "/v1/failed/items?limit=0"))[1] == "bad_request"


def test_a_failed_row_tells_whether_a_search_still_finds_what_it_was(lab_site: LabSite) -> None:
    lab = lab_site.lab
    lab.full()
    with lab.source() as db:
        db.execute("UPDATE items SET price = 'none' WHERE id = 1")
        db.execute(
            "INSERT INTO items SELECT 900, name, description, 'none', category, updated_at "
            "FROM items WHERE id = 1"
        )
    lab.sync()

    rows = lab_site.call("GET", "/v1/failed/items").json()["failed"]

    told = {row["id"]: (row["hasVector"], row["indexedAt"]) for row in rows}
    assert told["900"] == (False, None)
    assert told["1"][0]
    assert told["1"][1].endswith("Z")


def test_a_lens_is_paused_and_resumed(site: Site) -> None:
    paused = site.call("POST", "/v1/lenses/items/pause").json()
    still = site.call("POST", "/v1/lenses/items/pause").json()
    resumed = site.call("POST", "/v1/lenses/items/resume").json()

    assert (paused["status"], still["status"]) == ("paused", "paused")
    assert resumed["status"] == "indexing"  # it was never indexed: its first ingest starts
    assert resumed["lastJob"]["mode"] == "full"


def test_a_sync_is_queued_once(lab_site: LabSite) -> None:
    first = lab_site.call("POST", "/v1/lenses/items/sync")
    second = lab_site.call("POST", "/v1/lenses/items/sync")

    assert (first.status_code, second.status_code) == (202, 202)
    assert first.json()["jobId"] == second.json()["jobId"]
    with lab_site.lab.project.registry.read() as db:
        job = jobs.get(db, first.json()["jobId"])
    assert (job.mode, job.origin) == (Mode.SMART_SYNC, "api")


def test_a_sync_of_what_has_no_index_or_is_paused_is_refused(site: Site) -> None:
    status, code, message = error_of(site.call("POST", "/v1/lenses/items/sync"))
    assert (status, code) == (409, "refused")
    assert "has no index yet" in message

    site.add_lens("resting", status=LensStatus.PAUSED)
    assert "is paused" in error_of(site.call("POST", "/v1/lenses/resting/sync"))[2]


@pytest.mark.parametrize("action", ["pause", "resume", "sync"])
def test_a_body_where_nothing_is_to_be_said_is_refused_with_its_fields(
    site: Site, action: str
) -> None:
    status, code, message = error_of(
        site.call("POST", f"/v1/lenses/items/{action}", {"confirmDeletes": True})
    )

    assert (status, code) == (400, "bad_request")
    assert "confirmDeletes" in message


def test_cadence_and_guard_are_changed_and_recorded_as_changed_elsewhere(site: Site) -> None:
    before = site.lens()
    answer = site.call(
        "PATCH",
        "/v1/lenses/items",
        {"syncInterval": "5m", "smartSyncInterval": "24h", "guard": "50%"},
    ).json()  # fmt: skip
    off = site.call("PATCH", "/v1/lenses/items", {"syncInterval": None}).json()

    assert (answer["syncInterval"], answer["smartSyncInterval"], answer["guard"]) == (
        "5m",
        "24h",
        0.5,
    )
    assert (off["syncInterval"], off["smartSyncInterval"]) == (None, "24h")
    assert off["origin"] == "api"
    assert site.lens().needs is before.needs
    assert site.lens().status is before.status
    assert site.lens().config_hash != before.config_hash


def test_a_change_that_changes_nothing_keeps_the_lens_as_the_file_has_it(site: Site) -> None:
    before = site.lens()

    answer = site.call("PATCH", "/v1/lenses/items", {"guard": 0.3})

    assert answer.status_code == 200
    assert site.lens() == before


@pytest.mark.parametrize(
    ("body", "names"),
    [
        ({}, "changes nothing"),
        ({"syncIntervall": "5m"}, "did you mean 'syncInterval'?"),
        ({"table": "other"}, "unknown field 'table'"),
        ({"syncInterval": "7m"}, "syncInterval: expected one of 1m, 5m"),
        ({"guard": 1.5}, "guard"),
        ({"guard": "much"}, "guard"),
        ({"fields": {}}, "fields"),
        ({"fields": {"title": {"type": "txt"}}}, "did you mean 'text'?"),
        ({"fields": {"title": {"type": "text"}}}, "no field is 'searchable'"),
        ({"fields": {"1": {"type": "text", "searchable": True}}}, "fields.1: a name is letters"),
    ],
)
def test_a_change_that_the_models_refuse_changes_nothing(
    site: Site, body: dict[str, Any], names: str
) -> None:
    before = site.lens()

    status, code, message = error_of(site.call("PATCH", "/v1/lenses/items", body))

    assert (status, code) == (400, "bad_request")
    assert names in message
    assert site.lens() == before


def test_changed_fields_are_held_against_the_source_and_say_what_they_need(
    lab_site: LabSite,
) -> None:
    fields = lab_site.lab.lens.config.model_dump(mode="json", by_alias=True)["fields"]
    fewer = {name: field for name, field in fields.items() if name != "price"}
    assert fewer != fields

    missing = fewer | {"colour": {"type": "text", "from": "no_such_column"}}
    refused = error_of(lab_site.call("PATCH", "/v1/lenses/items", {"fields": missing}))
    assert lab_site.lab.lens.origin == "cli"
    accepted = lab_site.call("PATCH", "/v1/lenses/items", {"fields": fewer})

    assert refused[:2] == (400, "bad_request")
    assert "no_such_column" in refused[2]
    assert accepted.status_code == 200
    assert accepted.json()["needs"] == Needs.REBUILD
    assert accepted.json()["origin"] == "api"
    assert "price" not in lab_site.lab.lens.config.fields


def test_no_function_can_be_brought_in_from_elsewhere(lab_site: LabSite) -> None:
    fields = lab_site.lab.lens.config.model_dump(mode="json", by_alias=True)["fields"]
    fields["name"] |= {"transform": "os:system"}

    status, _, message = error_of(lab_site.call("PATCH", "/v1/lenses/items", {"fields": fields}))

    assert status == 400
    assert "'os:system' is a function that the lens does not use yet" in message
    assert lab_site.lab.lens.env == LAB_ENV
