"""What a project takes from its environment and from the folder that it is opened in."""

from __future__ import annotations

from pathlib import Path

from semilayer_pipelines.project import Settings


def test_the_configuration_is_found_from_a_folder_below_it(tmp_path: Path) -> None:
    (tmp_path / "sl.config.yaml").write_text("stack: shop\n", encoding="utf-8")
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)

    settings = Settings.from_environ({}, below)

    assert settings.config == tmp_path / "sl.config.yaml"
    assert settings.root == tmp_path


def test_without_a_configuration_the_folder_itself_is_the_project(tmp_path: Path) -> None:
    settings = Settings.from_environ({}, tmp_path)

    assert settings.config == tmp_path / "sl.config.yaml"
    assert not settings.config.exists()
    assert settings.root == tmp_path
