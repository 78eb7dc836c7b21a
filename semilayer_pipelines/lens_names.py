"""What Dagster makes of the names of lenses, which decides what may stand beside what.

Dagster turns the key of an asset into one word, and two lenses with one word keep its code location
from loading: then no lens of the project has a schedule or an asset. Nothing here imports Dagster.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["LensName", "asset_key", "dagster_word", "distinct", "published_key"]


def asset_key(env: str, lens: str) -> list[str]:
    """Return the key of a lens's asset."""
    return [env, lens]


def published_key(env: str, lens: str) -> list[str]:
    """Return the key of the asset that stands for the index in use."""
    return [env, lens, f"{lens}_published"]


@dataclass(frozen=True, order=True)
class LensName:
    """A lens of an environment."""

    env: str
    lens: str

    @property
    def asset_keys(self) -> tuple[str, str]:
        """The keys of its assets as `deps` name them: its rows, and the index in use."""
        keys = asset_key(self.env, self.lens), published_key(self.env, self.lens)
        return "/".join(keys[0]), "/".join(keys[1])

    def beside(self, other: LensName) -> str:
        """Name it so that it is told from `other`."""
        return f"{self.lens!r}" if self.env == other.env else f"{self.lens!r} of {self.env!r}"


def dagster_word(name: LensName) -> str:
    """Return Dagster's word for the asset of a lens that its runs fill."""
    return f"{name.env}__{name.lens}".replace("-", "_")


def distinct(names: Iterable[LensName]) -> dict[LensName, LensName]:
    """Return, for every name that Dagster cannot tell from an earlier one, that earlier one."""
    taken: dict[str, LensName] = {}
    clashes: dict[LensName, LensName] = {}
    for name in names:
        earlier = taken.setdefault(dagster_word(name), name)
        if earlier != name:
            clashes[name] = earlier
    return clashes
