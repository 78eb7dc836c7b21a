"""What a project keeps is for its owner alone, whichever process makes it."""

from __future__ import annotations

import logging
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from semilayer_pipelines.private_files import private_file, private_folder
from tests.cli.project import SEMILAYER, Folder
from tests.webhook.server import Place


@pytest.fixture(autouse=True)
def _everybody_may_read_by_default() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def open_to_others(folder: Path) -> list[str]:
    return [str(p) for p in (folder, *folder.rglob("*")) if mode(p) & 0o077]


def test_a_command_makes_the_folder_and_the_registry_for_its_owner(tmp_path: Path) -> None:
    folder = Folder.at(tmp_path, rows=3)

    assert folder.run("push").exit_code == 0

    home = tmp_path / ".semilayer"
    assert mode(home) == 0o700
    assert mode(home / "registry.db") == 0o600
    assert not open_to_others(home)
    assert mode(tmp_path / "sl.config.yaml") == 0o644


def test_a_code_server_makes_everything_for_its_owner(tmp_path: Path) -> None:
    folder = Folder.at(tmp_path, rows=3)
    program = """
import semilayer_pipelines.orchestration.definitions as loaded
from pathlib import Path
Path(".semilayer/made-by-a-run").write_text("rows")
"""

    subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=folder.full_environ, check=True
    )

    assert not open_to_others(tmp_path / ".semilayer")


def test_the_webhook_makes_the_registry_for_its_owner(tmp_path: Path) -> None:
    place = Place.at(tmp_path, f"sqlite:///{tmp_path}/.semilayer/registry.db")
    place.project.registry.close()
    (tmp_path / ".semilayer").chmod(0o755)
    (tmp_path / ".semilayer" / "registry.db").chmod(0o644)

    with place.serving() as server:
        assert not open_to_others(tmp_path / ".semilayer")
        said = server.end()

    assert said.count("was open to other users") == 1


def test_a_folder_that_was_open_is_closed_with_all_in_it_and_a_line_says_so(
    tmp_path: Path,
) -> None:
    # given
    folder = Folder.at(tmp_path, rows=3)
    inside = tmp_path / ".semilayer" / "lance" / "development"
    inside.mkdir(parents=True)
    (inside / "rows.lance").write_text("rows")
    (inside / "elsewhere").symlink_to(tmp_path / "sl.config.yaml")

    # when
    said = subprocess.run(
        [SEMILAYER, "push"],
        cwd=tmp_path,
        env=folder.full_environ,
        capture_output=True,
        text=True,
        check=False,
    )
    again = subprocess.run(
        [SEMILAYER, "status", "--json"],
        cwd=tmp_path,
        env=folder.full_environ,
        capture_output=True,
        text=True,
        check=False,
    )

    # then
    assert said.stderr.count("was open to other users of this machine. It is closed") == 1
    assert "was open" not in again.stderr
    assert mode(inside / "rows.lance") == 0o600
    assert mode(tmp_path / "sl.config.yaml") == 0o644


def test_a_folder_that_holds_more_than_ours_is_left_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    sticky = tmp_path / "tmp"
    sticky.mkdir()
    sticky.chmod(0o1777)
    tmp_path.chmod(0o755)

    for folder in (tmp_path, tmp_path / "project", sticky):
        before = mode(folder)
        private_folder(folder)
        assert mode(folder) == before


def test_a_file_that_was_open_is_closed_and_a_line_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "registry.db"
    file.write_text("kept")

    with caplog.at_level(logging.WARNING):
        private_file(file)

    assert (mode(file), file.read_text()) == (0o600, "kept")
    assert str(file) in caplog.text


def test_what_dev_starts_makes_files_for_their_owner(tmp_path: Path) -> None:
    from semilayer_pipelines.dev.supervisor import Process, Supervisor

    supervisor = Supervisor(tmp_path, dict(os.environ), lambda name, line: None)
    supervisor.start(Process("maker", [sys.executable, "-c", "open('made', 'w')"]))
    while supervisor.ended() is None:
        pass
    supervisor.stop()

    assert mode(tmp_path / "made") == 0o600
