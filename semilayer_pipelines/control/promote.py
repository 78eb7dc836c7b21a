"""Taking the configuration of a lens over from one environment to another.

The other environment keeps its own sources: `main` may be another database there. Only a source
that it does not have comes along.
"""

from __future__ import annotations

from semilayer_pipelines.config.models import ProjectConfig
from semilayer_pipelines.control.push import Plan, plan_push
from semilayer_pipelines.project import Project
from semilayer_pipelines.registry import environments, lenses, sources

__all__ = ["plan_promotion"]


def plan_promotion(project: Project, name: str, *, source: str, target: str) -> Plan:
    """Plan to give `target` the lens `name` as the environment `source` has it.

    Checked as a push is; `apply_push` does it, as a change from elsewhere. Raises `NotFound` and
    what `plan_push` raises.
    """
    with project.registry.read() as db:
        lens = lenses.get(db, source, name)
        theirs = sources.list_all(db, environments.get(db, target).id)
        ours = sources.list_all(db, lens.env_id)
    used = lens.config.source
    config = ProjectConfig(
        stack=target,
        sources={used: theirs.get(used, ours[used])},
        lenses={name: lens.config},
    )
    return plan_push(project, config, target, only=[name])
