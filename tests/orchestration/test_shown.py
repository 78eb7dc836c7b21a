"""What the UI asks for over GraphQL, of a real instance with real runs."""

from __future__ import annotations

from collections.abc import Iterator

import dagster as dg
import pytest

from semilayer_pipelines.orchestration.names import BY_JOB_ID, shard_names
from tests.lab import ENV, Lab
from tests.orchestration.conftest import MakeLab
from tests.orchestration.given import PUBLISHED, launch, materialise
from tests.orchestration.location import Location

LENS = (ENV, "items")
INDEX = tuple(PUBLISHED.path)
TABLE = (ENV, "main", "items")


@pytest.fixture
def lab(make_lab: MakeLab) -> Lab:
    return make_lab(40, shards=2)


@pytest.fixture
def shown(lab: Lab, disk_instance: dg.DagsterInstance) -> Iterator[Location]:
    with Location.of(lab, disk_instance) as location:
        yield location


def test_the_lineage_of_a_lens_goes_from_its_table_to_the_index_in_use(shown: Location) -> None:
    table, lens, index = shown.asset(*TABLE), shown.asset(*LENS), shown.asset(*INDEX)

    assert [key["path"] for key in lens["dependencyKeys"]] == [list(TABLE)]
    assert [key["path"] for key in lens["dependedByKeys"]] == [list(INDEX)]
    assert set(table["kinds"]) == {"sqlite", "table"}
    assert lens["kinds"] == index["kinds"] == ["lancedb"]
    assert [one["isMaterializable"] for one in (table, lens, index)] == [False, True, False]


def test_a_lens_whose_sync_fails_is_red_and_the_run_is_on_it(
    lab: Lab, shown: Location, disk_instance: dg.DagsterInstance
) -> None:
    # given a lens that was filled by a job
    assert launch(lab, disk_instance, "full_ingest").success
    assert shown.check("healthy", *LENS)["status"] == "SUCCEEDED"
    assert shown.partitions(*LENS) == {"materialised": ["s00", "s01"], "failed": []}

    # when a sync of it fails
    with lab.source() as db:
        db.execute("ALTER TABLE items RENAME TO gone")
    failed = launch(lab, disk_instance, "smart_sync")

    # then
    red = shown.check("healthy", *LENS)
    assert (red["status"], red["evaluation"]["severity"]) == ("FAILED", "ERROR")
    assert "What to do: " in red["evaluation"]["description"]
    assert shown.asset(*LENS)["latestRun"] == {"id": failed.run_id, "status": "FAILURE"}
    assert shown.partitions(*LENS)["failed"] == []

    # and when it is mended, all of that is green
    with lab.source() as db:
        db.execute("ALTER TABLE gone RENAME TO items")
    assert launch(lab, disk_instance, "smart_sync").success
    assert shown.check("healthy", *LENS)["status"] == "SUCCEEDED"
    assert shown.asset(*LENS)["latestRun"]["status"] == "SUCCESS"
    assert shown.partitions(*LENS) == {"materialised": ["s00", "s01"], "failed": []}


def test_a_run_that_fills_a_shard_is_on_that_partition(
    lab: Lab, shown: Location, disk_instance: dg.DagsterInstance
) -> None:
    # given a table that is not there yet
    with lab.source() as db:
        db.execute("ALTER TABLE items RENAME TO gone")

    # when its lens is to be filled
    failed = launch(lab, disk_instance, "full_ingest")

    # then
    assert not failed.success
    assert shown.partitions(*LENS) == {"materialised": [], "failed": ["s00", "s01"]}
    with lab.source() as db:
        db.execute("ALTER TABLE gone RENAME TO items")
    assert launch(lab, disk_instance, "full_ingest").success
    assert shown.partitions(*LENS) == {"materialised": ["s00", "s01"], "failed": []}


def test_a_run_that_mends_a_shard_is_on_that_partition(
    lab: Lab, shown: Location, disk_instance: dg.DagsterInstance
) -> None:
    # given
    launch(lab, disk_instance, "full_ingest")

    # when one shard is mended by a job
    with lab.source() as db:
        db.execute("DROP TABLE items")
    failed = launch(lab, disk_instance, "repair", shard=1)

    # then the run is on that partition, and on no other
    assert not failed.success
    assert shown.partitions(*LENS)["failed"] == ["s01"]


def test_an_index_is_not_out_of_date_after_its_partitions_were_materialised(
    lab: Lab, shown: Location, disk_instance: dg.DagsterInstance
) -> None:
    # given an index in use
    launch(lab, disk_instance, "full_ingest")
    assert shown.asset(*INDEX)["staleStatus"] == "FRESH"

    # when all partitions are materialised, as a backfill does
    with lab.source() as db:
        db.execute("UPDATE items SET name = 'other'")
    for name in shard_names(2):
        assert materialise(lab, disk_instance, name).success

    # then
    assert shown.asset(*INDEX)["staleStatus"] == "FRESH"


def test_the_launchpad_takes_lenses_and_environments_that_there_are(shown: Location) -> None:
    assert shown.mistakes("smart_sync", {"lens": "items", "env": ENV}) == []
    assert shown.mistakes("smart_sync", {"lens": BY_JOB_ID, "job_id": "1"}) == []
    [unknown] = shown.mistakes("smart_sync", {"lens": "itms", "env": ENV})
    assert "itms" in unknown
    [elsewhere] = shown.mistakes("smart_sync", {"lens": "items", "env": "production"})
    assert "production" in elsewhere
    [missing] = shown.mistakes("smart_sync", {"env": ENV})
    assert "lens" in missing


def test_tags_that_are_for_the_queue_alone_are_hidden(
    lab: Lab, shown: Location, disk_instance: dg.DagsterInstance
) -> None:
    run_id = launch(lab, disk_instance, "full_ingest").run_id

    found = shown.ask(
        "query($id: ID!) { runOrError(runId: $id) { ... on Run { tags { key value } } } }",
        id=run_id,
    )["runOrError"]["tags"]

    ours = {one["key"] for one in found if not one["key"].startswith("dagster/")}
    assert {key for key in ours if not key.startswith(".dagster/")} == {
        "semilayer/lens",
        "semilayer/mode",
    }
