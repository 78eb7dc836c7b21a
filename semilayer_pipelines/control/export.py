"""Export: bring what was changed elsewhere back into `sl.config.yaml` (docs/push.md, "Drift").

What the file's author changed and has not pushed stays, unless the same key was changed elsewhere;
a lens that only the file has stays too.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from semilayer_pipelines.config import export
from semilayer_pipelines.config.edits import Edit, edits, value_at
from semilayer_pipelines.config.load import load_config
from semilayer_pipelines.config.models import LensConfig
from semilayer_pipelines.project import Project
from semilayer_pipelines.registry import environments, lenses, sources
from semilayer_pipelines.registry.lenses import Lens, config_hash
from semilayer_pipelines.registry.stored_config import to_json, with_defaults

__all__ = ["Export", "LensExport", "plan_export", "write_export"]


@dataclass(frozen=True)
class LensExport:
    """What is brought into the file of one lens: `edits`, or the whole of it when it is `added`."""

    name: str
    added: bool
    edits: tuple[Edit, ...]


@dataclass(frozen=True)
class Export:
    """The file as it is to be. `only_here` are lenses of the file that were never pushed."""

    file: Path
    before: str
    after: str
    lenses: tuple[LensExport, ...]
    only_here: tuple[str, ...]

    @property
    def changed(self) -> bool:
        """Whether there is anything to write."""
        return self.before != self.after


def plan_export(project: Project, env: str) -> Export:
    """Compare the file with the registry. Raises `ConfigError` and `NotFound` (no environment)."""
    file = project.settings.config
    config = load_config(file)
    with project.registry.read() as db:
        env_id = environments.get(db, env).id
        known = {lens.name: lens for lens in lenses.list_all(db, env)}
        pushed = lenses.pushed_configs(db, env)
        known_sources = sources.list_all(db, env_id)
    before = text = _read(file)
    found: list[LensExport] = []
    missing = [lens for name, lens in known.items() if name not in config.lenses]
    for source in {lens.config.source for lens in missing} - config.sources.keys():
        text = export.with_source(text, source, to_json(known_sources[source]))
    for lens in missing:
        text = export.with_lens(text, lens.name, to_json(lens.config))
        found.append(LensExport(lens.name, True, ()))
    for name in [name for name in config.lenses if name in known]:
        lens, there = known[name], config.lenses[name]
        pulled = _pulled(lens, pushed.get(name, there), there)
        if pulled:
            text = export.with_edits(text, name, pulled, to_json(lens.config))
            found.append(LensExport(name, False, tuple(pulled)))
    only_here = tuple(name for name in config.lenses if name not in known)
    return Export(file, before, text, tuple(found), only_here)


def write_export(planned: Export) -> None:
    """Write the file, whole or not at all, if anything of it changes.

    What would be written is read first: a file that could not be pushed raises `ConfigError` and
    the old one stays.
    """
    if not planned.changed:
        return
    new = planned.file.with_name(f"{planned.file.name}.new")
    text = planned.after
    with planned.file.open("rb") as old:
        start = old.read(3)
        windows = b"\r\n" in start + old.read()
    encoded = (text.replace("\n", "\r\n") if windows else text).encode()
    try:
        new.write_bytes(start + encoded if start == _MARK else encoded)
        load_config(new)
        shutil.copymode(planned.file, new)
        os.replace(new, planned.file)
    finally:
        new.unlink(missing_ok=True)


_MARK = b"\xef\xbb\xbf"


def _read(file: Path) -> str:
    # With the line ends that YAML sees; `write_export` gives the file its own again.
    return file.read_bytes().decode("utf-8-sig").replace("\r\n", "\n")


def _pulled(lens: Lens, pushed: LensConfig, there: LensConfig) -> list[Edit]:
    """Return what was changed elsewhere since the last push and is not in the file."""
    if lens.config_hash in (config_hash(pushed), config_hash(there)):
        return []
    file, now = with_defaults(there), with_defaults(lens.config)
    return [
        edit
        for edit in edits(to_json(pushed), to_json(lens.config))
        if value_at(file, edit.path) != value_at(now, edit.path)
    ]
