"""Nothing of one environment is visible in another, whoever asks."""

from __future__ import annotations

import json
import secrets

import pytest
from starlette.testclient import TestClient

from semilayer_pipelines.control.patch import change_lens
from semilayer_pipelines.registry import api_keys
from semilayer_pipelines.registry.api_key import KeyKind
from tests.cli.conftest import run_queued
from tests.cli.project import Folder
from tests.cli.test_push import answer
from webhook.app import build_app

DEV, PROD = "development", "production"


@pytest.fixture
def two(folder: Folder) -> Folder:
    """A folder whose lens is indexed in development, and only registered in production."""
    for command in (["push"], ["resume"], ["push", "--env", PROD]):
        assert folder.run(*command).exit_code == 0
    run_queued(folder)
    return folder


def in_prod(folder: Folder, *arguments: str) -> int:
    return folder.run(*arguments, "--env", PROD).exit_code


def lens(folder: Folder, env: str) -> dict[str, object]:
    (found,) = folder.json("status", "--env", env)["lenses"]
    # The one number that goes on by itself.
    return {name: value for name, value in found.items() if name != "behindSeconds"}


def test_what_one_has_no_command_shows_in_the_other(two: Folder) -> None:
    (job,) = two.json("jobs")
    two.json("keys", "create", "--type", "ingest", "--name", "mine")

    assert (lens(two, DEV)["vectors"], lens(two, PROD)["vectors"]) == (20, 0)
    assert two.json("jobs", "--env", PROD) == []
    assert in_prod(two, "jobs", job["id"]) == 2
    assert in_prod(two, "search", "items", "amber") == 3
    assert two.json("keys", "list", "--env", PROD) == []
    assert two.json("envs", "list") == [
        {"env": name, "tier": None, "callsPerMinute": None} for name in (DEV, PROD)
    ]


def test_what_is_done_in_one_leaves_the_other_as_it_was(two: Folder) -> None:
    before = lens(two, DEV)
    key = two.json("keys", "create", "--type", "ingest", "--name", "mine")
    file = (two.path / "sl.config.yaml").read_bytes()

    # when the other one is paused, changed elsewhere, emptied and limited
    assert in_prod(two, "pause", "--lens", "items") == 0
    assert in_prod(two, "keys", "revoke", key["id"]) == 2
    assert in_prod(two, "envs", "set", "--tier", "free") == 0
    change_lens(two.project, PROD, "items", {"guard": 0.5}, origin="api")
    assert two.run("push").exit_code == 0  # its drift is none of ours
    assert two.run("export", "config").exit_code == 0
    assert (two.path / "sl.config.yaml").read_bytes() == file
    two.write(lenses={"others": {}})
    assert in_prod(two, "push", "--allow-deletes", "--force") == 0

    # then nothing of the first was touched
    assert lens(two, DEV) == before
    assert lens(two, PROD)["name"] == "others"
    (kept,) = two.json("keys", "list")
    assert kept["revokedAt"] is None
    assert two.run("search", "items", "amber").exit_code == 0


def test_a_key_of_one_opens_nothing_of_the_other(two: Folder) -> None:
    two.write(lenses={"items": {}, "secret": {}})
    assert two.run("push").exit_code == 0
    (job,) = two.json("jobs")
    project = two.project
    with project.registry.begin() as db:
        _, key = api_keys.create(
            db, PROD, KeyKind.SERVICE, "n", choose=secrets.choice, now=project.clock()
        )
    changes = [{"id": "1", "action": "delete"}]

    with TestClient(build_app(project), headers={"authorization": f"Bearer {key}"}) as client:
        seen = client.get("/v1/lenses").json()["lenses"]
        statuses = [
            client.get("/v1/lenses/secret").status_code,
            client.get(f"/v1/jobs/{job['id']}").status_code,
            client.patch("/v1/lenses/secret", json={"guard": 0.9}).status_code,
            client.post(
                "/v1/ingest/secret", json={"mode": "records", "changes": changes}
            ).status_code,
        ]
        # One of the same name is another lens.
        taken = client.post("/v1/ingest/items", json={"mode": "records", "changes": changes})

    assert [(one["name"], one["status"]) for one in seen] == [("items", "paused")]
    assert statuses == [404, 404, 404, 404]
    assert taken.status_code == 202
    assert (lens(two, PROD)["buffered"], len(two.json("status")["lenses"])) == (1, 2)
    assert [one["buffered"] for one in two.json("status")["lenses"]] == [0, 0]


@pytest.mark.parametrize("command", ["status", "jobs", "failed", "resume", "verify"])
def test_a_misspelt_environment_is_no_good_news(two: Folder, command: str) -> None:
    told = two.run(command, "--env", "prodution")

    assert told.exit_code == 2
    assert "no environment 'prodution' (did you mean 'production'?)" in told.stderr


def test_the_environment_may_come_from_the_environment(two: Folder) -> None:
    two.environ["SEMILAYER_ENV"] = PROD

    assert two.json("jobs") == []
    assert two.json("jobs", "--env", DEV)


def test_an_environment_is_made_once_and_its_name_is_checked(folder: Folder) -> None:
    assert "semilayer push --env staging" in folder.run("envs", "create", "staging").stdout

    again, wrong = folder.run("envs", "create", "staging"), folder.run("envs", "create", "St aging")

    assert (again.exit_code, wrong.exit_code) == (3, 2)
    assert "staging" in folder.run("envs", "list").stdout


def test_a_new_environment_prints_its_keys_once(folder: Folder) -> None:
    made = folder.json("envs", "create", "staging")

    assert [key["type"] for key in made["keys"]] == ["service", "search", "ingest"]
    prefixes = [key["key"].partition("_staging_")[0] for key in made["keys"]]
    assert prefixes == ["sk", "qk", "ik"]
    listed = folder.run("keys", "list", "--env", "staging", "--json").stdout
    assert len(json.loads(listed)) == 3
    assert not any(key["key"] in listed for key in made["keys"])


def test_an_environment_is_deleted_by_one_who_types_its_name(two: Folder) -> None:
    assert in_prod(two, "keys", "create", "--type", "search", "--name", "n") == 0

    nobody = two.run("envs", "delete", PROD)
    wrong, said = answer(two, "prod\n", "envs", "delete", PROD)
    assert (nobody.exit_code, wrong) == (3, 3)
    assert "items" in said
    assert "--allow-deletes" in nobody.stderr
    assert lens(two, PROD)["name"] == "items"

    code, said = answer(two, f"{PROD}\n", "envs", "delete", PROD)
    assert code == 0, said
    assert [one["env"] for one in two.json("envs", "list")] == [DEV]
    assert two.run("search", "items", "amber").exit_code == 0


def test_ci_may_delete_an_environment_and_an_unknown_one_is_an_error(two: Folder) -> None:
    told = two.json("envs", "delete", PROD, "--allow-deletes")

    assert told == {"env": PROD, "lenses": ["items"], "keys": 0}
    unknown = two.run("envs", "delete", "developmemt", "--allow-deletes")
    assert (unknown.exit_code, DEV in unknown.stderr) == (2, True)


def test_a_key_that_may_only_search_is_issued_and_listed(folder: Folder) -> None:
    folder.run("push")

    made = folder.json("keys", "create", "--type", "search", "--name", "shop-server")
    (listed,) = folder.json("keys", "list")

    assert made["key"].startswith("qk_development_")
    assert (listed["type"], listed["name"]) == ("search", "shop-server")
    assert "qk_development_" in folder.run("keys", "list").stdout
