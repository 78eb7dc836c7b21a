"""deploy/helm-values.yaml and deploy/kubernetes.yaml, held to what reads them, without a cluster.

The chart itself and Helm are not at hand: the values were read by hand beside the chart's schema
and templates, which is not tested here.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import kubernetes_validate
import pytest
from dagster_k8s.container_context import K8sContainerContext
from dagster_k8s.job import UserDefinedDagsterK8sConfig
from kubernetes import client
from ruamel.yaml import YAML

from tests.deploy.test_deploy import DEPLOY, ROOT, compose, read

KUBERNETES = "1.37"
VALUES = read(DEPLOY / "helm-values.yaml")
CODE = VALUES["dagster-user-deployments"]["deployments"][0]
OBJECTS: list[Any] = list(YAML(typ="safe").load_all((DEPLOY / "kubernetes.yaml").read_text()))
PODS = {
    made["metadata"]["name"]: made["spec"]["template"]["spec"]
    for made in OBJECTS
    if made["kind"] == "Deployment"
}


@pytest.mark.parametrize(
    "made", OBJECTS, ids=lambda made: f"{made['kind']} {made['metadata']['name']}"
)
def test_kubernetes_knows_every_key(made: Any) -> None:
    api = client.ApiClient()

    known = api.deserialize(SimpleNamespace(data=json.dumps(made)), f"V1{made['kind']}")

    # What it does not know is not there any more.
    assert api.sanitize_for_serialization(known) == made


@pytest.mark.parametrize(
    "made", OBJECTS, ids=lambda made: f"{made['kind']} {made['metadata']['name']}"
)
def test_every_object_is_of_the_published_schema(made: Any) -> None:
    # The client takes an object without `spec`, or of an unknown version; the schema does not.
    # And it reads over a wrong type that cannot be turned into the right one.
    kubernetes_validate.validate(made, KUBERNETES, strict=True)


def test_a_run_is_given_what_was_measured_for_runs() -> None:
    # given what the launcher says of a run, and what the chart makes of the code server's values
    # for the runs of its code (`includeConfigInLaunchedRuns`)
    told = VALUES["runLauncher"]["config"]["k8sRunLauncher"]["runK8sConfig"]
    snake = {re.sub(r"(?<!^)([A-Z])", r"_\1", key).lower(): value for key, value in told.items()}
    launcher = K8sContainerContext(run_k8s_config=UserDefinedDagsterK8sConfig.from_dict(snake))
    code = K8sContainerContext(
        resources=CODE["resources"],
        volumes=CODE["volumes"],
        volume_mounts=CODE["volumeMounts"],
        env_secrets=[one["name"] for one in CODE["envSecrets"]],
    )

    # when Dagster puts them together, in this order
    run = launcher.merge(code).run_k8s_config

    # then
    assert CODE["includeConfigInLaunchedRuns"] == {"enabled": True}
    assert run.container_config["resources"]["requests"]["memory"] == "512Mi"
    assert run.container_config["resources"]["limits"]["memory"] == "2Gi"
    assert run.container_config["volume_mounts"][0]["mount_path"] == "/project/sl.config.yaml"
    assert run.pod_spec_config["termination_grace_period_seconds"] == 60
    assert run.job_spec_config["ttl_seconds_after_finished"] == 3600
    # Said twice, it would be the launcher's that is lost.
    assert not set(launcher.run_k8s_config.container_config) & set(
        code.run_k8s_config.container_config
    )


def test_the_queue_is_the_one_of_the_other_deployments() -> None:
    there = read(DEPLOY / "dagster.yaml")
    daemon = VALUES["dagsterDaemon"]
    queue = daemon["runCoordinator"]["config"]["queuedRunCoordinator"]

    assert queue["tagConcurrencyLimits"] == there["concurrency"]["runs"]["tag_concurrency_limits"]
    assert queue["maxConcurrentRuns"] == there["concurrency"]["runs"]["max_concurrent_runs"]
    assert {
        "dequeue_interval_seconds": queue["dequeueIntervalSeconds"],
        "dequeue_use_threads": queue["dequeueUseThreads"],
        "dequeue_num_workers": queue["dequeueNumWorkers"],
    } == there["run_coordinator"]["config"]
    assert daemon["sensors"]["numSubmitWorkers"] == there["sensors"]["num_submit_workers"]


def test_the_lenses_are_found_by_the_name_that_a_push_asks_for() -> None:
    [server] = VALUES["dagsterWebserver"]["workspace"]["servers"]
    local = read(DEPLOY / "workspace.yaml")["load_from"][0]["grpc_server"]

    assert server["name"] == local["location_name"]
    assert (server["host"], server["port"]) == (CODE["name"], CODE["port"])
    # `dagster api grpc` would answer a reload and do nothing.
    assert "dagsterApiGrpcArgs" not in CODE


def test_versions_are_those_that_are_pinned() -> None:
    pins = (ROOT / "constraints.txt").read_text()
    told = (DEPLOY / "helm-values.yaml").read_text()

    [version] = re.findall(r"--version (\S+)", told)
    assert f"dagster=={version}\n" in pins


def test_parts_have_the_same_settings_wherever_they_run_and_no_secret_is_written_down() -> None:
    secrets = {
        "SEMILAYER_REGISTRY_URL",
        "SEMILAYER_EMBEDDER_KEY",
        "WEAVIATE_API_KEY",
        "DATABASE_URL",
    }
    # The chart sets these itself.
    by_the_chart = {
        "DAGSTER_POSTGRES_URL",
        "SEMILAYER_CODE_SERVER_HOST",
        "SEMILAYER_CODE_SERVER_PORT",
    }
    webhook = PODS["semilayer-webhook"]["containers"][0]
    wanted = set(compose()["x-semilayer"]["environment"]) - secrets - by_the_chart

    assert set(CODE["env"]) == wanted
    assert {one["name"] for one in webhook["env"]} == wanted
    assert PODS["semilayer-follow"]["containers"][0]["env"] == webhook["env"]
    assert CODE["env"] == {one["name"]: one["value"] for one in webhook["env"]}
    assert CODE["envSecrets"] == [{"name": "semilayer"}]
    for name in ("helm-values.yaml", "kubernetes.yaml"):
        text = Path(DEPLOY / name).read_text()
        assert not re.findall(r"(?i)(password|api_?key|token):\s*\S+", text)


@pytest.mark.parametrize("name", ["semilayer-webhook", "semilayer-follow", "semilayer-embedder"])
def test_every_pod_is_bounded_probed_and_nobody_in_particular(name: str) -> None:
    [container] = PODS[name]["containers"]

    assert PODS[name]["securityContext"] == {"runAsNonRoot": True, "runAsUser": 10001}
    assert set(container["resources"]) == {"requests", "limits"}
    assert container["readinessProbe"]
    # The command is the one of compose.yaml, whose options are tested.
    service = compose()["services"][name.removeprefix("semilayer-")]["command"].split()
    words = 3 if name.endswith("follow") else 4
    assert container["command"][:words] == service[:words]
