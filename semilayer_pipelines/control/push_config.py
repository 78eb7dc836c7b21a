"""Pushing the file of a project as a whole: plan it, have it agreed to, write it.

Another push may change the registry between the look and the write. Then nothing was written, and
the plan is made and agreed to again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from semilayer_pipelines.config.load import load_config
from semilayer_pipelines.config.models import ProjectConfig
from semilayer_pipelines.control.push import Plan, apply_push, plan_push
from semilayer_pipelines.errors import Overtaken, Refused
from semilayer_pipelines.project import Project

__all__ = ["push_agreed", "push_config"]

LOOKS = 3
"""A push looks again this often when another one changed the registry meanwhile."""


def push_config(
    project: Project,
    *,
    env: str | None = None,
    only: Sequence[str] = (),
    undo_drift: bool = False,
    remove_lenses: bool = False,
) -> Plan:
    """Register the lenses of the project's configuration file; return what that changed.

    No ingest starts. `only` limits it to these lenses. `env` is the environment, by default the
    project's. Raises `Refused`, having written nothing, when the push would undo what was changed
    elsewhere or remove a lens with its index, unless `undo_drift` or `remove_lenses` allow it.
    Raises `ConfigError` for the file, and else like `plan_push`.
    """

    def agreed(plan: Plan) -> None:
        if plan.drift and not undo_drift:
            names = ", ".join(drift.lens for drift in plan.drift)
            raise Refused(
                f"{names} was changed elsewhere since the last push.",
                cure="Take it into the file with `semilayer export config`, or allow undo_drift.",
            )
        if plan.deleted and not remove_lenses:
            raise Refused(
                f"The file has no {', '.join(plan.deleted)} any more; the push would remove it "
                "with its index.",
                cure="Put it back into the file, or allow remove_lenses.",
            )

    config = load_config(project.settings.config)
    return push_agreed(project, config, env or project.settings.env, only=only, agreed=agreed)


def push_agreed(
    project: Project,
    config: ProjectConfig,
    env: str,
    *,
    only: Sequence[str],
    agreed: Callable[[Plan], None],
) -> Plan:
    """Push what `agreed` raises nothing against; return what was pushed.

    Raises `Overtaken` when other pushes were faster `LOOKS` times, and what `agreed` raises.
    """
    for look in range(1, LOOKS + 1):
        plan = plan_push(project, config, env, only=only)
        agreed(plan)
        try:
            apply_push(project, plan)
        except Overtaken:
            if look == LOOKS:
                raise
        else:
            break
    return plan
