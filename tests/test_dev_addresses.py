"""The addresses of a running `semilayer dev`, and those that one left behind."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from semilayer_pipelines.dev_addresses import (
    DevAddresses,
    forget_addresses,
    leave_addresses,
    running_dev,
)
from semilayer_pipelines.project import Project, Settings


def addresses(pid: int) -> DevAddresses:
    return DevAddresses(pid, "http://127.0.0.1:3001", "http://127.0.0.1:8001", None)


def ended_process() -> int:
    """Return the id of a process that is no more."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


@pytest.fixture
def alive() -> int:
    return os.getpid()


def test_what_is_left_is_found_and_for_its_owner_alone(tmp_path: Path, alive: int) -> None:
    leave_addresses(tmp_path, addresses(alive))

    assert running_dev(tmp_path) == addresses(alive)
    (file,) = tmp_path.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_it_is_gone_at_the_end(tmp_path: Path, alive: int) -> None:
    leave_addresses(tmp_path, addresses(alive))

    forget_addresses(tmp_path)
    forget_addresses(tmp_path)

    assert running_dev(tmp_path) is None
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_one_left_is_ignored(tmp_path: Path) -> None:
    leave_addresses(tmp_path, addresses(ended_process()))

    assert running_dev(tmp_path) is None


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "{}", '{"pid": 1}', '{"pid": "x"}'])
def test_a_file_that_says_something_else_is_ignored(text: str, tmp_path: Path) -> None:
    (tmp_path / "dev.json").write_text(text)

    assert running_dev(tmp_path) is None


def test_a_pid_that_is_none_is_ignored(tmp_path: Path) -> None:
    told = {"pid": 2**80, "dagster": None, "webhook": "", "embedder": None}
    (tmp_path / "dev.json").write_text(json.dumps(told))

    assert running_dev(tmp_path) is None


def test_a_setting_wins_over_what_is_found(tmp_path: Path, alive: int) -> None:
    home = tmp_path / ".semilayer"
    home.mkdir()
    leave_addresses(home, addresses(alive))
    named = {"SEMILAYER_DAGSTER_URL": "http://elsewhere:3000/"}

    assert Project(Settings.from_environ({}, tmp_path)).dagster_url == "http://127.0.0.1:3001"
    assert Project(Settings.from_environ(named, tmp_path)).dagster_url == "http://elsewhere:3000"


def test_without_either_there_is_no_address(tmp_path: Path) -> None:
    assert Project(Settings.from_environ({}, tmp_path)).dagster_url is None
