"""Which names lenses may have beside each other, by what Dagster and the store make of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from semilayer_pipelines.errors import ConfigError
from semilayer_pipelines.lens_names import LensName, dagster_word, distinct
from semilayer_pipelines.stores import check_names

__all__ = ["check_lens_names"]


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
            f"it makes {dagster_word(name)!r} of both."
            for name, other in clashes.items()
        ]
        raise ConfigError(
            " ".join(told),
            cure="Rename one of them: - and _ are one to it.",
        )
    check_names(store, [(name.env, name.lens) for name in named], environ=environ)
