"""One change of a row, as a caller names it.

An id that the service would refuse is refused here, before it is buffered: inside a batch it would
take thousands of good changes down with it.
"""

from __future__ import annotations

from dataclasses import dataclass

from semilayer_pipelines.errors import UserError
from semilayer_pipelines.http.contract import MAX_ID_CHARACTERS, Action, has_half_a_pair

__all__ = ["Change", "InvalidChange"]


class InvalidChange(UserError):
    """An id or action that the service refuses; it was not buffered."""


@dataclass(frozen=True, slots=True)
class Change:
    """The row with this id was written or deleted.

    `id` is the text of its primary key, 1 to 512 characters without NUL; a composite key is the
    JSON array of its parts' texts, without spaces: `["7","en"]`. Raises `InvalidChange`.
    """

    id: str
    action: Action

    def __post_init__(self) -> None:
        fault = _fault(self.id)
        if fault:
            raise InvalidChange(f"this id cannot be sent: {fault}.", cure="Nothing was buffered.")
        if self.action not in _ACTIONS:
            raise InvalidChange(f"action {self.action!r} is neither 'upsert' nor 'delete'.")
        object.__setattr__(self, "action", Action(self.action))


_ACTIONS = frozenset(Action)


def _fault(id: object) -> str:
    if not isinstance(id, str):
        return f"it is {type(id).__name__} {id!r}, not a text (write str(…))"
    if not id:
        return "it is empty"
    if len(id) > MAX_ID_CHARACTERS:
        return f"it has {len(id):,} characters, more than {MAX_ID_CHARACTERS}"
    if "\0" in id:
        return "it contains NUL"
    if has_half_a_pair(id):
        return "it contains half of a surrogate pair"
    return ""
