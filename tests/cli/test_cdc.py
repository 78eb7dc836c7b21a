"""`semilayer follow` waits for what may be pushed, and never for a name that is misspelt."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest

from tests.cli.project import SEMILAYER, Folder
from tests.patience import PATIENCE_SECONDS


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--env", "prodction"), "no environment 'prodction' (did you mean 'production'?)"),
        (("--env", "prodction"), "Environments: development, production."),
        (("--source", "mian"), "no source 'mian' (did you mean 'main'?). Sources: main."),
        (("--source", "mian", "--all-envs"), "no source 'mian' (did you mean 'main'?)"),
        (("--source", "mian", "--env", "production"), "no source 'mian'"),
    ],
)
def test_a_name_that_is_none_is_told_with_those_there_are(
    folder: Folder, options: tuple[str, ...], says: str
) -> None:
    folder.run("push")
    folder.run("push", "--env", "production")

    done = folder.run("follow", *options)

    assert done.exit_code == 2
    assert says in done.stderr


@pytest.mark.parametrize(
    ("pushed", "options", "says"),
    [
        # Nothing was ever pushed: the services of a deployment start before its first push.
        (False, ("--env", "production"), "in which a source of 'production' says `cdc`."),
        (False, ("--source", "main"), "in which the source 'main' of 'development' says `cdc`."),
        (True, ("--all-envs",), "in which a source of any environment says `cdc`."),
        (True, ("--source", "main"), "in which the source 'main' of 'development' says `cdc`."),
    ],
)
def test_what_is_waited_for_is_told(
    folder: Folder, pushed: bool, options: tuple[str, ...], says: str
) -> None:
    if pushed:
        folder.run("push")
    command: list[str | Path] = [SEMILAYER, "follow", *options]

    with subprocess.Popen(
        command, cwd=folder.path, env=folder.full_environ, stdout=subprocess.PIPE, text=True
    ) as follower:
        assert follower.stdout is not None
        told = follower.stdout.readline()
        follower.send_signal(signal.SIGINT)
        rest, _ = follower.communicate(timeout=PATIENCE_SECONDS)

    assert f"Waiting for a push {says}" in told
    assert (follower.returncode, rest) == (0, "")


def test_a_probe_of_what_is_followed_answers_as_a_document(folder: Folder) -> None:
    folder.run("push")

    assert folder.json("cdc", "status", "--check") == []
    assert "nothing to follow" in folder.run("cdc", "status", "--check").stdout
    wrong = folder.run("cdc", "status", "--check", "--source", "main", "--env", "prod")
    assert (wrong.exit_code, "no environment 'prod'" in wrong.stderr) == (2, True)
