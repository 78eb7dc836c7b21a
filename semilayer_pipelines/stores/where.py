"""What a search may ask of the fields: a closed set of conditions, the same for every store.

Written as JSON the way the product does it: `{"section": "web", "size": {"$lte": 1000}}`; a bare
value means `$eq`, a bare list `$in`, and `null` means that the field is empty.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from semilayer_pipelines.errors import ConfigError, nearest
from semilayer_pipelines.http.contract import has_half_a_pair

__all__ = ["Condition", "Operator", "Scalar", "check_unicode", "parse_where", "tenant_condition"]

Scalar = str | int | float | bool


class Operator(StrEnum):
    """How a field is compared.

    `EMPTY` takes a bool; null, the empty text and the empty list are empty. `NE` and `NIN` hold
    wherever `EQ` and `IN` do not, so for empty fields too. Of a list, `EQ` and `IN` ask whether it
    has the value, or one of them.
    """

    EQ = "$eq"
    NE = "$ne"
    GT = "$gt"
    GTE = "$gte"
    LT = "$lt"
    LTE = "$lte"
    IN = "$in"
    NIN = "$nin"
    EMPTY = "$empty"


@dataclass(frozen=True)
class Condition:
    """One comparison; `value` is a tuple for `IN` and `NIN`, a scalar otherwise."""

    field: str
    operator: Operator
    value: Scalar | tuple[Scalar, ...]


def parse_where(where: Mapping[str, object], fields: Iterable[str]) -> tuple[Condition, ...]:
    """Turn the JSON form into conditions.

    Raises `ConfigError` for a field that the lens does not declare, an operator that does not exist
    or a value that cannot be compared; the message names the nearest valid name.
    """
    known = list(fields)
    conditions: list[Condition] = []
    for name, wanted in where.items():
        if name not in known:
            raise ConfigError(
                f"where: there is no field {name!r}{nearest(name, known)}.",
                cure=f"Fields: {', '.join(known)}.",
            )
        comparisons = wanted if isinstance(wanted, Mapping) else {"$eq": wanted}
        conditions.extend(_condition(name, op, value) for op, value in comparisons.items())
    return tuple(conditions)


def tenant_condition(where: Sequence[Condition], tenant: str) -> Condition:
    """Return the condition that says whose rows are searched; `tenant` is the field for that.

    Raises `ConfigError` when none says that the field equals one value that is not blank.
    """
    for each in where:
        if (each.field, each.operator) == (tenant, Operator.EQ) and str(each.value).strip():
            return each
    raise ConfigError(
        f"where: {tenant} must be named: the rows of each {tenant} are searched alone.",
        cure=f'Say whose rows, as in {{"{tenant}": "…"}}.',
    )


def _condition(name: str, operator: str, value: object) -> Condition:
    if operator not in list(Operator):
        raise ConfigError(
            f"where: {name}: there is no operator {operator!r}{nearest(operator, list(Operator))}.",
            cure=f"Operators: {', '.join(Operator)}.",
        )
    match Operator(operator), value:
        case Operator.EQ, None:
            return Condition(name, Operator.EMPTY, True)
        case Operator.NE, None:
            return Condition(name, Operator.EMPTY, False)
        case ((Operator.EQ | Operator.IN), list() | tuple()):
            return Condition(name, Operator.IN, tuple(_scalar(name, v) for v in value))
        case ((Operator.NE | Operator.NIN), list() | tuple()):
            return Condition(name, Operator.NIN, tuple(_scalar(name, v) for v in value))
        case ((Operator.IN | Operator.NIN), _):
            raise ConfigError(f"where: {name}: {operator} takes a list.")
        case Operator.EMPTY, bool():
            return Condition(name, Operator.EMPTY, value)
        case Operator.EMPTY, _:
            raise ConfigError(f"where: {name}: {operator} takes true or false.")
        case known, _:
            return Condition(name, known, _scalar(name, value))


def check_unicode(what: str, text: str) -> None:
    """Raise `ConfigError`, which names `what`, for half of a surrogate pair: no store takes it."""
    if has_half_a_pair(text):
        raise ConfigError(
            f"{what} holds half of a surrogate pair, which is no character.",
            cure="Send it whole, in UTF-8.",
        )


def _scalar(name: str, value: object) -> Scalar:
    if isinstance(value, str):
        check_unicode(f"where: {name}: {value[:80]!a}", value)
    if isinstance(value, str | int | float | bool):
        return value
    raise ConfigError(f"where: {name}: {value!r} is not a text, a number, true or false.")
