"""`semilayer export`."""

from __future__ import annotations

import click

from semilayer_pipelines.cli.context import (
    Here,
    SuggestingGroup,
    env_option,
    json_option,
    say,
    say_json,
)
from semilayer_pipelines.config.edits import as_json as edit_json
from semilayer_pipelines.config.edits import lines
from semilayer_pipelines.control.export import Export, plan_export, write_export

__all__ = ["export"]


@click.group(cls=SuggestingGroup)
def export() -> None:
    """Bring what the registry holds back into files."""


@export.command()
@click.option("--dry-run", "dry", is_flag=True, help="Only tell what would change in the file.")
@env_option
@json_option
@click.pass_obj
def config(here: Here, dry: bool, env: str, as_json: bool) -> None:
    """Bring changes made elsewhere back into sl.config.yaml.

    Changes the keys in the file that were changed elsewhere since the last push: on the console, by
    a program or an agent. Adds lenses that the file lacks. Comments, order and your own edits of
    other keys stay. If nothing was changed elsewhere, not a byte of the file changes.
    """
    planned = plan_export(here.project, env)
    if not dry:
        write_export(planned)
    if as_json:
        say_json(_as_json(planned, env, dry))
        return
    for lens in planned.lenses:
        say(f"{'added' if lens.added else 'changed'}  {lens.name}")
        for line in lines(lens.edits):
            say(f"  {line}")
    for name in planned.only_here:
        say(f"only in the file  {name}: it was never pushed, and stays")
    if not planned.changed:
        say(f"{planned.file.name} has everything that {env!r} has.")


def _as_json(planned: Export, env: str, dry: bool) -> dict[str, object]:
    return {
        "env": env,
        "file": str(planned.file),
        "dryRun": dry,
        "changed": planned.changed,
        "lenses": [
            {
                "name": lens.name,
                "added": lens.added,
                "edits": [edit_json(edit) for edit in lens.edits],
            }
            for lens in planned.lenses
        ],
        "onlyInFile": list(planned.only_here),
    }
