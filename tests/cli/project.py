"""A project folder in which the command runs, as a person would run it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from semilayer_pipelines.cli.main import main
from semilayer_pipelines.project import Project
from tests.workload import FIELDS, create_items

ROOT = Path(__file__).resolve().parents[2]
SEMILAYER = Path(sys.executable).with_name("semilayer")


@dataclass
class Folder:
    """A folder with a source of rows and an sl.config.yaml; `environ` is added to every call."""

    path: Path
    environ: dict[str, str] = field(default_factory=dict)

    @classmethod
    def at(cls, path: Path, *, rows: int = 0) -> Folder:
        """Make a folder with a lens `items`; nothing is pushed."""
        folder = cls(path, {"SEMILAYER_DAGSTER_URL": "http://127.0.0.1:1"})
        if rows:
            create_items(folder.database, rows)
        folder.write()
        return folder

    @property
    def database(self) -> Path:
        return self.path / "source.db"

    def write(self, *, lenses: dict[str, dict[str, object]] | None = None, url: str = "") -> None:
        """Write sl.config.yaml; each lens is `items` with these keys changed."""
        base = {
            "source": "main",
            "table": "items",
            "embedding": {"provider": "hash"},
            "fields": FIELDS,
        }
        config = {
            "stack": "test",
            "sources": {
                "main": {"bridge": "sql", "connection": url or f"sqlite:///{self.database}"}
            },
            "lenses": {name: base | changes for name, changes in (lenses or {"items": {}}).items()},
        }
        # JSON is YAML.
        (self.path / "sl.config.yaml").write_text(json.dumps(config, indent=1))

    def as_dagster_project(self) -> None:
        """Add the two files that Dagster needs."""
        for name in ("dagster.yaml", "workspace.yaml"):
            shutil.copy(ROOT / name, self.path / name)

    @property
    def full_environ(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("SEMILAYER_", "DAGSTER_"))}
        return kept | self.environ

    @property
    def project(self) -> Project:
        """The same project, opened in this process."""
        from semilayer_pipelines.project import Settings

        return Project(Settings.from_environ(self.environ, self.path), self.full_environ)

    def run(self, *arguments: str, input: str | None = None) -> Result:
        """Run the command in this process."""
        before, folder = dict(os.environ), Path.cwd()
        os.environ.clear()
        os.environ.update(self.full_environ)
        os.chdir(self.path)
        try:
            return CliRunner().invoke(main, arguments, input=input)
        finally:
            os.chdir(folder)
            os.environ.clear()
            os.environ.update(before)

    def json(self, *arguments: str) -> Any:
        """Run the command with --json; return what it printed, which must be one document."""
        result = self.run(*arguments, "--json")
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start the command as a process of its own."""
        return subprocess.Popen(
            [SEMILAYER, *arguments],
            cwd=self.path,
            env=self.full_environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
