"""The lenses of a project as a Component of Dagster's: `type: semilayer_pipelines.SemilayerLenses`.

It brings what `build_definitions` brings, from a `defs.yaml` in place of Python.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import dagster as dg
from dagster.components.component_scaffolding import scaffold_component
from pydantic import BaseModel, Field

from semilayer_pipelines.errors import ConfigError
from semilayer_pipelines.orchestration.build_definitions import build_definitions
from semilayer_pipelines.project import Project

__all__ = ["LensesScaffolder", "SemilayerLenses", "WhichProject"]

_WHERE = (
    "Folder of the project, which has its `sl.config.yaml`, or that file. Relative to the folder "
    "of this `defs.yaml`."
)


class WhichProject(BaseModel):
    """What `dg scaffold defs semilayer_pipelines.SemilayerLenses` asks for."""

    project: Annotated[str, Field(description=_WHERE)] = "{{ project_root }}"


class LensesScaffolder(dg.Scaffolder[WhichProject]):
    """Writes a `defs.yaml` that names the project."""

    @classmethod
    def get_scaffold_params(cls) -> type[WhichProject]:
        """Return the model of the parameters."""
        return WhichProject

    def scaffold(self, request: dg.ScaffoldRequest[WhichProject]) -> None:
        """Write the file."""
        scaffold_component(request, (request.params or WhichProject()).model_dump())


@dg.scaffold_with(LensesScaffolder)
class SemilayerLenses(dg.Component, dg.Model, dg.Resolvable):
    """The lenses of a project: assets, checks, jobs, schedules and sensors.

    They bring one resource, `semilayer`, and no executor, I/O manager or logger.
    """

    project: Annotated[str, Field(description=_WHERE)]

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """Return the definitions.

        Raises `ConfigError` for a path that is no project, and where the code location has another
        such component: Dagster would only say that two resources have one name.
        """
        shown = context.component_tree.get_all_components(SemilayerLenses)
        if len(shown) > 1:
            named = ", ".join(f"`project: {one.project}`" for one in shown)
            raise ConfigError(
                f"{len(shown)} components of this code location show lenses: {named}.",
                cure="Give each project a code location of its own (an entry in workspace.yaml); "
                "one component shows all environments of a project.",
            )
        here = context.path if context.path.is_dir() else context.path.parent
        found = (here / Path(self.project).expanduser()).resolve()
        if not found.exists():
            raise ConfigError(
                f"`project: {self.project}` leads to {found}, which does not exist.",
                cure=f"Name the folder of the project; paths are relative to {here}.",
            )
        return build_definitions(Project.at(found))
