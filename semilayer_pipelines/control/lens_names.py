"""Which names lenses may have beside each other: what Dagster and the store make of them decides.

Dagster turns the key of an asset into one word, and two lenses with one word keep its code location
from loading: then no lens of the project has a schedule or an asset. Nothing here imports Dagster.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from semilayer_pipelines.errors import ConfigError
from semilayer_pipelines.stores import check_names

__all__ = ["LensName", "check_lens_names", "dagster_words", "distinct"]


@dataclass(frozen=True, order=True)
class LensName:
    """A lens of an environment."""

    env: str
    lens: str

    def beside(self, other: LensName) -> str:
        """Name it so that it is told from `other`."""
        return f"{self.lens!r}" if self.env == other.env else f"{self.lens!r} of {self.env!r}"


def dagster_words(name: LensName) -> tuple[str, str]:
    """Return the words that Dagster makes of a lens's two assets, its shards and its index in use."""
    word = f"{name.env}__{name.lens}".replace("-", "_")
    return word, f"{word}__published"


def distinct(names: Iterable[LensName]) -> dict[LensName, LensName]:
    """Return, for every name that Dagster cannot tell from an earlier one, that earlier one."""
    taken: dict[str, LensName] = {}
    clashes: dict[LensName, LensName] = {}
    for name in names:
        words = dagster_words(name)
        earlier = next((taken[word] for word in words if taken.get(word, name) != name), None)
        if earlier is not None:
            clashes[name] = earlier
        else:
            taken |= dict.fromkeys(words, name)
    return clashes


def check_lens_names(
    wanted: Collection[LensName],
    others: Collection[LensName],
    *,
    store: str,
    environ: Mapping[str, str],
) -> None:
    """Raise `ConfigError` when `wanted` cannot stand beside each other and `others`.

    `others` are registered, in this environment or in another. Every clash is told.
    """
    named = [*(name for name in others if name not in wanted), *wanted]
    # What clashes among the others only is not this push's to mend.
    clashes = {
        name: other for name, other in distinct(named).items() if name in wanted or other in wanted
    }
    if clashes:
        told = [
            f"Dagster cannot tell the lenses {other.beside(name)} and {name.beside(other)} apart: "
            f"it makes {_shared(name, other)!r} of both."
            for name, other in clashes.items()
        ]
        raise ConfigError(
            " ".join(told),
            cure="Rename one of them: - and _ are one to it, and __published behind a name is "
            "taken.",
        )
    check_names(store, [(name.env, name.lens) for name in named], environ=environ)


def _shared(one: LensName, other: LensName) -> str:
    words = dagster_words(other)
    return next(word for word in dagster_words(one) if word in words)
