"""`semilayer dev` when something is wrong: it says so, and leaves nothing behind."""

from __future__ import annotations

import json
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from semilayer_pipelines.registry.environments import DEFAULT_ENV
from tests.cli.project import Folder
from tests.gate import alive
from tests.orchestration.dev import Dev, kill, until

BREAK = """
import sys
if any("code-server" in word or "grpc" in word for word in sys.orig_argv):
    sys.modules["semilayer_pipelines.orchestration.assets"] = None
"""


@pytest.fixture
def dev(tmp_path: Path) -> Iterator[Dev]:
    made = Dev(Folder.at(tmp_path, rows=3))
    yield made
    made.stop()


def test_a_port_that_is_taken_is_told_at_once(dev: Dev) -> None:
    with socket.create_server(("127.0.0.1", dev.port)):
        dev.start(wait=False)

        assert dev.exit_code() == 2
    assert f"Port {dev.port} is taken" in dev.log


def test_a_folder_that_cannot_be_written_to_is_told_at_once(dev: Dev) -> None:
    (dev.folder.path / ".semilayer").write_text("not a folder")

    dev.start(wait=False)

    assert dev.exit_code() == 2
    assert "Cannot write to" in dev.log
    assert "Traceback" not in dev.log


@pytest.mark.parametrize("port", ["0", "-1", "65536", "99999999999999999999"])
@pytest.mark.parametrize("option", ["--port", "--webhook-port"])
def test_what_is_no_port_is_told(option: str, port: str, tmp_path: Path) -> None:
    refused = Folder.at(tmp_path).run("dev", option, port)

    assert refused.exit_code == 2
    assert isinstance(refused.exception, SystemExit)
    assert option in refused.stderr


@pytest.mark.slow
def test_a_configuration_written_by_hand_is_enough(dev: Dev) -> None:
    for name in ("dagster.yaml", "workspace.yaml"):
        (dev.folder.path / name).unlink()

    dev.start("--no-ui")

    assert "Wrote dagster.yaml, workspace.yaml, dg.toml" in dev.log
    dev.interrupt()


@pytest.mark.slow
def test_its_programs_find_a_project_that_is_named_from_another_folder(tmp_path: Path) -> None:
    # given a configuration with a lens, named by its path from the folder above
    (tmp_path / "shop").mkdir()
    shop = Folder.at(tmp_path / "shop", rows=3)
    shop.as_dagster_project()
    shop.run("push")
    dev = Dev(Folder(tmp_path, shop.environ | {"SEMILAYER_CONFIG": "shop/sl.config.yaml"}))

    # when
    try:
        dev.start("--port", str(dev.port))
        shown = until(dev.graphql.asset_keys, 60, "its lens")
    finally:
        dev.stop()

    # then Dagster shows its lens, and nothing was begun elsewhere
    assert f"{DEFAULT_ENV}/items" in shown
    assert [path.parent for path in tmp_path.rglob(".semilayer")] == [shop.path]


@pytest.mark.slow
def test_a_second_one_in_a_folder_is_refused_until_the_first_is_gone(dev: Dev) -> None:
    # given
    dev.start("--no-ui")
    second = Dev(dev.folder, log_name="second.log")

    # when
    second.start("--no-ui", wait=False)

    # then it ends at once, and the first one works on
    assert second.exit_code() == 2
    assert "A `semilayer dev` of this folder is running already." in second.log
    assert not dev.ended()

    # and when the first one is killed, no lock of it stays behind
    family = dev.family()
    kill(family[0])
    until(lambda: not any(alive(pid) for pid in family), 60, "their end")
    second.start("--no-ui")
    second.interrupt()


@pytest.mark.slow
def test_lenses_that_do_not_load_are_told_and_nothing_runs_on(dev: Dev) -> None:
    # given an installation in which a module is broken
    (dev.folder.path / "sitecustomize.py").write_text(BREAK)
    dev.folder.environ["PYTHONPATH"] = str(dev.folder.path)

    # when
    dev.start("--no-ui", wait=False)
    until(lambda: "code server" in dev.log or dev.ended(), 30, "a first line")
    family = dev.family()

    # then
    assert dev.exit_code() == 1
    assert "Dagster cannot load the lenses" in dev.log
    assert "semilayer_pipelines.orchestration.assets" in dev.log.splitlines()[-1]
    assert not [pid for pid in family if alive(pid)]


@pytest.mark.slow
def test_a_child_that_dies_takes_the_others_with_it_and_is_named(dev: Dev) -> None:
    # given
    dev.start("--no-ui")
    family = dev.family()
    (daemon,) = [
        pid for pid in family if b"dagster-daemon" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]

    # when
    kill(daemon)

    # then
    assert dev.exit_code() == 1
    assert "The daemon ended by itself" in dev.log
    assert not [pid for pid in family if alive(pid)]


@pytest.mark.slow
def test_a_follower_starts_when_a_source_is_pushed_that_says_cdc_and_ends_with_the_rest(
    dev: Dev,
) -> None:
    # given
    dev.start("--no-ui", "--no-embedder")
    assert "follower" not in dev.log

    # when
    file = dev.folder.path / "sl.config.yaml"
    config = json.loads(file.read_text())
    config["sources"]["main"]["cdc"] = "logical"
    file.write_text(json.dumps(config))
    assert dev.folder.run("push").exit_code == 0

    # then
    until(lambda: "waits to be installed" in dev.log, 60, "the follower's first words")
    family = dev.family()
    dev.interrupt()
    assert dev.exit_code() == 0
    assert not [pid for pid in family if alive(pid)]


@pytest.mark.slow
def test_ctrl_c_while_it_comes_up_leaves_nothing_behind(dev: Dev) -> None:
    dev.start(wait=False)
    until(lambda: "code server" in dev.log, 30, "a first line")
    family = dev.family()
    assert len(family) > 1

    dev.interrupt()

    assert dev.exit_code() == 0
    assert not [pid for pid in family if alive(pid)]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_commands_find_it_and_never_reload_the_dagster_of_another_project(
    dev: Dev, tmp_path_factory: pytest.TempPathFactory
) -> None:
    # given a project whose Dagster is on a port that no setting names, and another project
    del dev.folder.environ["SEMILAYER_DAGSTER_URL"]
    other = Folder.at(tmp_path_factory.mktemp("other"), rows=3)
    dev.start()
    file = dev.folder.path / ".semilayer" / "dev.json"
    told = json.loads(file.read_text())
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert told["dagster"] == f"http://127.0.0.1:{dev.port}"
    assert told["webhook"] == f"http://127.0.0.1:{dev.webhook_port}"

    # when both push
    said = dev.folder.run("push").stdout
    other.environ["SEMILAYER_DAGSTER_URL"] = told["dagster"]
    of_other = other.run("push").stdout
    del other.environ["SEMILAYER_DAGSTER_URL"]
    of_none = other.run("push", "--force").stdout + other.run("push").stdout

    # then only the first is shown
    assert f"Dagster at {told['dagster']} shows them." in said
    assert "is another project's; nothing was reloaded" in of_other
    assert "127.0.0.1:3000" not in of_none
    assert f"{DEFAULT_ENV}/items" in dev.graphql.asset_keys()

    # and the file goes when it ends
    dev.interrupt()
    assert not file.exists()
