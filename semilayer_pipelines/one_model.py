"""An index holds vectors of one model and of one dimension (invariant 9): every check of it.

Two models put a text at two unrelated places, so their vectors must never meet. All code that
brings vectors together asks here, and a person reads the same sentence wherever it is noticed. The
dimension of a vector is how many numbers it has.
"""

from __future__ import annotations

from semilayer_pipelines.errors import DimensionChanged

__all__ = ["REBUILD", "not_of_one_model", "require_dimension", "require_model"]

REBUILD = "Rebuild the lens: `semilayer push --rebuild`."


def not_of_one_model(
    *, built_with: str, now: str, dimension: int | None, found: int | None
) -> list[str]:
    """Return why an index is not of the model that its lens has now, a sentence for each reason.

    `dimension` is what the generation was built with, `found` what its index holds; `None` where
    nothing was ever written.
    """
    reasons = [_another_model(built_with, now)]
    if dimension is not None and found is not None:
        giver, holder = "The index holds vectors of", "it was built with"
        reasons.append(_another_dimension(found, dimension, giver=giver, holder=holder))
    return [reason for reason in reasons if reason is not None]


def require_model(built_with: str, now: str, *, lens: str | None = None) -> None:
    """Raise `DimensionChanged` when an index was built with another model than the lens has now.

    Both are fingerprints, see `Embedder`.
    """
    found = _another_model(built_with, now)
    if found is not None:
        raise DimensionChanged(found, cure=REBUILD, lens=lens)


def require_dimension(
    given: int,
    held: int,
    *,
    giver: str = "The model gives vectors of",
    holder: str = "the index holds",
    cure: str = REBUILD,
    lens: str | None = None,
) -> None:
    """Raise `DimensionChanged` when vectors of `given` dimensions would join vectors of `held`."""
    found = _another_dimension(given, held, giver=giver, holder=holder)
    if found is not None:
        raise DimensionChanged(found, cure=cure, lens=lens)


def _another_model(built_with: str, now: str) -> str | None:
    if built_with == now:
        return None
    return (
        f"The index was built with {built_with}, which is now {now} under the same name; "
        "vectors of two models do not mix."
    )


def _another_dimension(given: int, held: int, *, giver: str, holder: str) -> str | None:
    return None if given == held else f"{giver} {given} dimensions, {holder} {held}."
