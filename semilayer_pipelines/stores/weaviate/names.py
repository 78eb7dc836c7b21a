"""What things are called in Weaviate.

Weaviate upper-cases the first letter of a collection and lower-cases that of a property, keeps some
words for itself, and takes names that differ only in case for one. Collections say in their own
description which index of which environment they are, and properties which field, so nothing is
ever guessed back from a name. Importing this module imports no client.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from semilayer_pipelines.errors import ConfigError

__all__ = ["alias_name", "check_lens_names", "collection_name", "exact_name", "property_name"]

_INDEX = re.compile(r"[A-Za-z0-9_-]{1,200}")
_LIKE_AN_INDEX = re.compile(r".+[-_][0-9]+[-_]g[0-9]{6,}([-_]chunks)?")
_RESERVED = {"id", "vector"}
_RESERVED_ENDINGS = (
    "_searchable",
    "_rangeable",
    "_temp",
    "__meta_count",
    "_propertyLength",
    "_nullState",
)


def collection_name(prefix: str, env: str, index: str) -> str:
    """Return the collection of an index, as in `Development_items_1_g000001`.

    Raises `ValueError` for what cannot name an index.
    """
    if not _INDEX.fullmatch(index):
        raise ValueError(f"{index!r} cannot name an index: use A-Z a-z 0-9 _ -")
    return _joined(prefix, env, index)


def alias_name(prefix: str, env: str, lens: str) -> str:
    """Return the name that always leads to a lens's active index: `Development_items`."""
    return _joined(prefix, env, lens)


def check_lens_names(prefix: str, lenses: Iterable[tuple[str, str]]) -> None:
    """Raise `ConfigError` when lenses (environment, name) would get an alias that is taken."""
    taken: dict[str, tuple[str, str]] = {}
    for env, lens in lenses:
        alias = alias_name(prefix, env, lens)
        other = taken.setdefault(alias.lower(), (env, lens))
        if other != (env, lens):
            one, two = (
                (repr(other[1]), repr(lens))
                if other[0] == env
                else (f"{other[1]!r} of {other[0]!r}", f"{lens!r} of {env!r}")
            )
            raise ConfigError(
                f"Weaviate cannot tell the lenses {one} and {two} apart: both would be "
                f"found as {alias}.",
                cure="Names that differ only in case, or in - and _, are one to it; rename one.",
            )
        if _LIKE_AN_INDEX.fullmatch(lens):
            raise ConfigError(
                f"The lens {lens!r} is named like an index of a lens, which Weaviate would take "
                "for the same.",
                cure="Rename it: a name may not end like -1-g000001.",
            )


def property_name(field: str) -> str:
    """Return the property that holds a field: its own name wherever Weaviate leaves that alone.

    Fields start with a letter (a rule of the configuration), so what starts with `_` is ours.
    """
    left_alone = (
        field[0].islower() and field not in _RESERVED and not field.endswith(_RESERVED_ENDINGS)
    )
    return field if left_alone else f"_field_{field}_"


def exact_name(field: str) -> str:
    """Return the property with the digits of integers that a double cannot hold."""
    return f"_exact_{field}_"


def _joined(prefix: str, env: str, name: str) -> str:
    # An environment's parts are run together, so that `_` always ends it.
    stage = "".join(part[:1].upper() + part[1:] for part in re.split("[-_]", env))
    whole = "_".join([*([prefix] if prefix else []), stage, name.replace("-", "_")])
    return whole[:1].upper() + whole[1:]
