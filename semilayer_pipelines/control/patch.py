"""Changing a registered lens from elsewhere than its file.

What is changed is held against the models, and a change of the fields also against the source, as a
push would do. It is recorded with its origin, so that the file's owner can be told of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from semilayer_pipelines.config.models import LensConfig, ProjectConfig, SourceConfig
from semilayer_pipelines.config.problems import path_of, sentence
from semilayer_pipelines.config.transforms import Custom
from semilayer_pipelines.errors import ConfigError
from semilayer_pipelines.project import Project
from semilayer_pipelines.registry import lenses, sources
from semilayer_pipelines.registry.lenses import Lens
from semilayer_pipelines.registry.stored_config import to_json

if TYPE_CHECKING:
    from semilayer_pipelines.control.push import LensPush

__all__ = ["CHANGEABLE", "change_lens", "preview_change"]

CHANGEABLE = ("syncInterval", "smartSyncInterval", "guard", "fields")
"""Keys of a lens that may be changed; only `fields` concerns what is indexed."""


def change_lens(
    project: Project, env: str, name: str, changes: dict[str, Any], *, origin: str
) -> Lens:
    """Give a lens other values for some keys of `CHANGEABLE`, named as in the file.

    `fields` replaces all fields. Raises `NotFound`, `ConfigError` (the values are wrong) and, for
    fields, `SchemaMismatch` and what the source raises; nothing is changed then.
    """
    lens, known = _registered(project, env, name)
    config = _changed(lens, changes)
    if "fields" in changes:
        # Loads Polars and a bridge, which the webhook must not need when it starts.
        from semilayer_pipelines.control.push import apply_push, plan_push

        whole = ProjectConfig(stack=env, sources=known, lenses={name: config})
        apply_push(project, plan_push(project, whole, env, only=[name]), origin=origin)
    elif lenses.config_hash(config) != lens.config_hash:
        with project.registry.begin(durable=True) as db:
            # Read again, so that a push of this very moment is not undone.
            lens = lenses.get(db, env, name)
            lenses.register(
                db,
                lens.env_id,
                name,
                _changed(lens, changes),
                needs=lens.needs,
                origin=origin,
                now=project.clock(),
                tracked=lens.tracked,
            )
    with project.registry.read() as db:
        return lenses.get(db, env, name)


def preview_change(project: Project, env: str, name: str, changes: dict[str, Any]) -> LensPush:
    """Return what `change_lens` would do to a lens, and what its index would need then.

    Nothing is changed. Raises what `change_lens` raises.
    """
    from semilayer_pipelines.control.push import plan_push

    lens, known = _registered(project, env, name)
    whole = ProjectConfig(stack=env, sources=known, lenses={name: _changed(lens, changes)})
    (push,) = plan_push(project, whole, env, only=[name]).lenses
    return push


def _registered(project: Project, env: str, name: str) -> tuple[Lens, dict[str, SourceConfig]]:
    with project.registry.read() as db:
        lens = lenses.get(db, env, name)
        return lens, sources.list_all(db, lens.env_id)


def _changed(lens: Lens, changes: dict[str, Any]) -> LensConfig:
    try:
        config = LensConfig.model_validate(to_json(lens.config) | changes)
    except ValidationError as error:
        found = error.errors()[0]
        # The sentence looks names up from the file's root, where a lens has a place of its own.
        placed = found | {"loc": ("lenses", lens.name, *found["loc"])}
        where = ".".join(str(part) for part in path_of(found))
        told = f"{where}: {sentence(placed)}" if where else sentence(placed)
        raise ConfigError(f"{told}.", lens=lens.name) from None
    # A function is code that runs here: only who may edit the project's files may name one.
    new = _functions(config) - _functions(lens.config)
    if new:
        raise ConfigError(
            f"fields: the transform {min(new)!r} is a function that the lens does not use yet.",
            cure="Name it in sl.config.yaml and push; here only functions in use are taken.",
            lens=lens.name,
        )
    return config


def _functions(config: LensConfig) -> set[str]:
    return {
        step.function
        for field in config.fields.values()
        for step in field.transform
        if isinstance(step, Custom)
    }
