"""Which lenses would be made by themselves, by way of their `deps`.

Dagster does not load a graph with a circle, and a lens that waits for itself is never synced.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from semilayer_pipelines.errors import ConfigError, about
from semilayer_pipelines.lens_names import LensName

__all__ = ["check_deps", "circle_through", "lenses_before"]


def lenses_before(deps: Mapping[LensName, Sequence[str]]) -> dict[LensName, tuple[LensName, ...]]:
    """Return, for each lens that names others in its `deps`, those others."""
    made = {key: lens for lens in deps for key in lens.asset_keys}
    found = {lens: tuple(made[dep] for dep in named if dep in made) for lens, named in deps.items()}
    return {lens: before for lens, before in found.items() if before}


def check_deps(lens: LensName, before: Mapping[LensName, Sequence[LensName]]) -> None:
    """Raise `ConfigError` where the lenses `before` a lens lead back to it (`lenses_before`)."""
    circle = circle_through(lens, before)
    if circle is None:
        return
    if len(circle) == 1:
        told = "the lens waits for its own asset, which nothing else makes."
    else:
        told = f"these lenses wait for each other: {', '.join(one.beside(lens) for one in circle)}."
    with about("deps"):
        raise ConfigError(told, cure="Name the assets that make the table, or take 'deps' out.")


def circle_through(
    lens: LensName, before: Mapping[LensName, Sequence[LensName]]
) -> tuple[LensName, ...] | None:
    """Return the lenses of the shortest way from a lens back to it, itself first; `None` for none.

    Each waits for the one behind it, and the last one for the first.
    """
    ways: list[tuple[LensName, ...]] = [(lens,)]
    seen = {lens}
    for way in ways:
        for one in before.get(way[-1], ()):
            if one == lens:
                return way
            if one not in seen:
                seen.add(one)
                ways.append((*way, one))
    return None
