"""What the real server refuses: values of another type, and names that no tenant can have."""

from __future__ import annotations

import math
import re
from datetime import datetime
from typing import Any

_TENANT = re.compile(r"[A-Za-z0-9_-]{1,64}")
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)")
_WORD = {"int": "integer"}
_GO_TYPES = {str: "string", float: "float64", bool: "bool", list: "[]interface {}"}


class Refused(Exception):
    """A request is not acceptable: what the server would say, and with which status over REST."""

    def __init__(self, text: str, status: int = 422) -> None:
        super().__init__(text)
        self.status = status


def checked_tenant(name: str) -> str:
    """Return the name of a tenant; raise `Refused` for what the server does not take for one."""
    if not _TENANT.fullmatch(name):
        raise Refused(
            f"tenant name at index 0:  '{name}' is not a valid tenant name. should only contain "
            "alphanumeric characters (a-z, A-Z, 0-9), underscore (_), and hyphen (-), with a "
            "length between 1 and 64 characters"
        )
    return name


def checked(kind: str, name: str, class_name: str, value: Any) -> Any:
    """Return a value as the server stores it; raise `Refused` when its type is another."""
    scalar = kind.removesuffix("[]")
    word = _WORD.get(scalar, scalar)
    if kind == scalar:
        about = f"invalid {word} property '{name}' on class '{class_name}'"
        fitting, made = _scalar(scalar, value)
        if not fitting:
            raise Refused(f"{about}: {_wanted(scalar, value)}")
        return made
    about = f"invalid {word} array property '{name}' on class '{class_name}'"
    if not isinstance(value, list):
        raise Refused(f"{about}: not a {word} array, but {_GO_TYPES[type(value)]}")
    items = [_scalar(scalar, item) for item in value]
    if not all(fitting for fitting, _ in items):
        raise Refused(f"{about}: invalid {word} array value: {value}")
    return [made for _, made in items]


def moment(text: str) -> datetime:
    """Return the time that an RFC 3339 text says, to the microsecond."""
    return datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text))


def _scalar(kind: str, value: Any) -> tuple[bool, Any]:
    match kind, value:
        case "text", str():
            return True, value
        case "boolean", bool():
            return True, value
        case "number", float() if abs(value) < float("inf"):
            return True, value
        case "int", float() if -(2.0**63) <= value < 2.0**63 and value == int(value):
            # As the server does it: an integer has gone through a double before it gets here.
            return True, int(value)
        case "date", str() if _RFC3339.fullmatch(value):
            return True, value
    return False, None


def _wanted(kind: str, value: Any) -> str:
    match kind:
        case "int":
            return f"requires an integer, the given value is '{_shown(value)}'"
        case "number":
            return f"requires a float, the given value is '{_shown(value)}'"
        case "date":
            return (
                "requires a string with a RFC3339 formatted date, but the given value is "
                f"'{_shown(value)}'"
            )
    wanted = {"text": "string", "boolean": "bool"}[kind]
    return f"not a {wanted}, but {_GO_TYPES[type(value)]}"


def _shown(value: Any) -> str:
    """Return a value as a program in Go prints it."""
    match value:
        case bool():
            return str(value).lower()
        case float() if math.isnan(value):
            return "NaN"
        case float() if abs(value) == float("inf"):
            return "Infinity" if value > 0 else "-Infinity"
        case float() if value == int(value) and abs(value) < 1e16:
            return str(int(value))
    return str(value)
