"""Dagster's web server as a browser talks to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx

_SELECTOR = {
    "repositoryName": "__repository__",
    "repositoryLocationName": "semilayer_pipelines",
}


class Graphql:
    """A web server's GraphQL endpoint."""

    def __init__(self, url: str) -> None:
        self._url = f"{url}/graphql"

    def ask(self, query: str, **variables: object) -> Any:
        answer = httpx.post(
            self._url, json={"query": query, "variables": variables}, timeout=30
        ).json()
        assert "errors" not in answer, answer
        return answer["data"]

    def asset_keys(self) -> set[str]:
        nodes = self.ask("{ assetNodes { assetKey { path } } }")["assetNodes"]
        return {"/".join(node["assetKey"]["path"]) for node in nodes}

    def status(self, run_id: str) -> str:
        found = self.ask(
            "query($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }", id=run_id
        )
        return str(found["runOrError"]["status"])

    def runs_of(self, job_id: str) -> list[dict[str, Any]]:
        """Return status and tags of the runs of a registry's job."""
        found = self.ask(
            """query($filter: RunsFilter!) { runsOrError(filter: $filter) {
                 ... on Runs { results { status tags { key value } } } } }""",
            filter={"tags": [{"key": ".dagster/semilayer-job", "value": job_id}]},
        )
        runs: list[dict[str, Any]] = found["runsOrError"]["results"]
        return runs

    def terminate(self, run_id: str) -> None:
        done = self.ask(
            "mutation($id: String!) { terminateRun(runId: $id) { __typename } }", id=run_id
        )
        assert done["terminateRun"]["__typename"] == "TerminateRunSuccess", done

    def launch(self, job: str, config: Mapping[str, object], tags: Mapping[str, str]) -> str:
        """Launch a job as the Launchpad does; return the run's id."""
        done = self.ask(
            """mutation($params: ExecutionParams!) { launchRun(executionParams: $params) {
                 __typename ... on LaunchRunSuccess { run { runId } } } }""",
            params={
                "selector": {"jobName": job, **_SELECTOR},
                "runConfigData": {"ops": {f"run_{job}": {"config": dict(config)}}},
                "executionMetadata": {"tags": [{"key": k, "value": v} for k, v in tags.items()]},
            },
        )["launchRun"]
        assert done["__typename"] == "LaunchRunSuccess", done
        return str(done["run"]["runId"])

    def backfill(self, key: list[str], partitions: list[str]) -> str:
        """Materialise these partitions as the asset page does; return the backfill's id."""
        done = self.ask(
            """mutation($params: LaunchBackfillParams!) {
                 launchPartitionBackfill(backfillParams: $params) {
                   __typename ... on LaunchBackfillSuccess { backfillId } } }""",
            params={"assetSelection": [{"path": key}], "partitionNames": partitions},
        )["launchPartitionBackfill"]
        assert done["__typename"] == "LaunchBackfillSuccess", done
        return str(done["backfillId"])

    def backfill_status(self, backfill_id: str) -> str:
        found = self.ask(
            """query($id: String!) { partitionBackfillOrError(backfillId: $id) {
                 ... on PartitionBackfill { status } } }""",
            id=backfill_id,
        )
        return str(found["partitionBackfillOrError"]["status"])
