"""A project's definitions as the UI asks for them: a code location, and GraphQL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import dagster as dg
from dagster._core.remote_origin import InProcessCodeLocationOrigin
from dagster._core.test_utils import InProcessTestWorkspaceLoadTarget  # type: ignore[attr-defined]
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster_graphql.cli import execute_query

from tests.lab import ENV, Lab

__all__ = ["Location"]

_LOAD = """
from semilayer_pipelines.orchestration.build_definitions import build_definitions
from semilayer_pipelines.project import Project, Settings

environ = {environ!r}
from pathlib import Path

defs = build_definitions(Project(Settings.from_environ(environ, Path({folder!r})), environ))
"""
_JOB = {
    "repositoryName": "__repository__",
    "repositoryLocationName": "lenses",
}


@dataclass(frozen=True)
class Location:
    """A code location that is loaded, and the instance that its runs are kept in."""

    context: WorkspaceProcessContext

    @classmethod
    @contextmanager
    def of(cls, lab: Lab, instance: dg.DagsterInstance) -> Iterator[Location]:
        """Load the definitions of a project; in this process, which saves a code server's start."""
        file = lab.folder / "defs_of_lab.py"
        file.write_text(_LOAD.format(environ={"SEMILAYER_ENV": ENV}, folder=str(lab.folder)))
        origin = InProcessCodeLocationOrigin(
            LoadableTargetOrigin(python_file=str(file), working_directory=str(lab.folder)),
            location_name="lenses",
        )
        target = InProcessTestWorkspaceLoadTarget(origin)
        with WorkspaceProcessContext(instance, target) as context:
            yield cls(context)

    def ask(self, query: str, **variables: object) -> Any:
        answer = execute_query(self.context, query, variables)
        assert "errors" not in answer, answer
        return answer["data"]

    def asset(self, *path: str) -> Any:
        """Return what the asset's page shows."""
        found = self.ask(
            """query($key: AssetKeyInput!) {
                 assetNodeOrError(assetKey: $key) { ... on AssetNode {
                   isMaterializable kinds staleStatus
                   dependencyKeys { path } dependedByKeys { path }
                   partitionStats { numPartitions numMaterialized numFailed numMaterializing }
                   assetChecksOrError { ... on AssetChecks { checks { name
                     executionForLatestMaterialization {
                       status evaluation { severity success description } } } } } } }
                 assetsLatestInfo(assetKeys: [$key]) { latestRun { id status } }
               }""",
            key={"path": list(path)},
        )
        info = found["assetsLatestInfo"]
        return found["assetNodeOrError"] | {"latestRun": info[0]["latestRun"] if info else None}

    def check(self, name: str, *path: str) -> Any:
        """Return what the asset's page shows of a check."""
        checks = self.asset(*path)["assetChecksOrError"]["checks"]
        return next(x["executionForLatestMaterialization"] for x in checks if x["name"] == name)

    def partitions(self, *path: str) -> dict[str, list[str]]:
        """Return which partitions are materialised, and which failed."""
        found = self.ask(
            """query($key: AssetKeyInput!) { assetNodeOrError(assetKey: $key) { ... on AssetNode {
                 assetPartitionStatuses { ... on DefaultPartitionStatuses {
                   materializedPartitions failedPartitions } } } } }""",
            key={"path": list(path)},
        )["assetNodeOrError"]["assetPartitionStatuses"]
        return {
            "materialised": found["materializedPartitions"],
            "failed": found["failedPartitions"],
        }

    def mistakes(self, job: str, config: dict[str, object]) -> list[str]:
        """Return what the Launchpad says against a configuration; nothing if it may be launched."""
        found = self.ask(
            """query($job: PipelineSelector!, $config: RunConfigData!) {
                 isPipelineConfigValid(pipeline: $job, runConfigData: $config, mode: "default") {
                   __typename
                   ... on RunConfigValidationInvalid { errors { message } } } }""",
            job={"pipelineName": job, **_JOB},
            config={"ops": {f"run_{job}": {"config": config}}},
        )["isPipelineConfigValid"]
        return [error["message"] for error in found.get("errors", [])]
