"""Templates to HTML: every value is escaped, and long ones are cut.

Jinja2 is imported with the first page, so that a webhook without viewers does not wait for it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any

from semilayer_pipelines.counts import span
from webhook.console.cures import parts
from webhook.console.files import address

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = ["SHOWN_CHARACTERS", "rendered"]

SHOWN_CHARACTERS = 2_000
"""Characters that the console shows of one value of a row."""


def rendered(template: str, data: Mapping[str, object]) -> str:
    """Return a template filled in; a name that it needs and does not get raises."""
    return _templates().get_template(template).render(data)


@cache
def _templates() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    made = Environment(
        loader=PackageLoader("webhook.console"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.filters |= {
        "ago": ago,
        "cure": parts,
        "cut": cut,
        "number": number,
        "span": _span,
        "value": value,
        "when": when,
        "iso": iso,
    }
    made.globals["static"] = address
    # For pages whose frame could not be asked for.
    made.globals |= {"env": "", "envs": [], "base": "", "said": "", "daemon": None, "path": ""}
    made.globals |= {"form_token": "", "query": "", "now": None}
    return made


def cut(text: object, characters: int = SHOWN_CHARACTERS) -> str:
    """Return the first characters of a text, and how many more there are."""
    whole = text if isinstance(text, str) else str(text)
    if len(whole) <= characters:
        return whole
    return f"{whole[:characters]} … and {len(whole) - characters:,} characters more"


def value(found: object, characters: int = SHOWN_CHARACTERS) -> str:
    """Return a value of a row as text; `null` is told by its template."""
    match found:
        case str():
            return cut(found, characters)
        case bytes() | bytearray() | memoryview():
            return f"{len(found):,} bytes"
        case datetime():
            return found.isoformat(sep=" ")
        case bool():
            return "true" if found else "false"
        case list() | tuple() | dict():
            return cut(json.dumps(found, ensure_ascii=False, default=str), characters)
        case _:
            return cut(str(found), characters)


def number(found: float | None) -> str:
    """Return a number with its thousands apart; `?` for one that nobody knows."""
    if found is None:
        return "?"
    return f"{found:,.0f}" if found >= 10 or found == int(found) else f"{found:,.1f}"


def when(moment: datetime | None) -> str:
    """Return a point in time to the second, in UTC."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}" if moment else "never"


def iso(moment: datetime | None) -> str:
    """Return a point in time as a program reads it."""
    return moment.astimezone(UTC).isoformat() if moment else ""


def ago(moment: datetime | None, now: datetime) -> str:
    """Return how long ago a point in time was, or how far it is off."""
    if moment is None:
        return "never"
    seconds = (now - moment).total_seconds()
    if -1 < seconds < 1:
        return "now"
    return f"{span(seconds)} ago" if seconds > 0 else f"in {span(-seconds)}"


def _span(seconds: Any) -> str:
    return "?" if seconds is None else span(float(seconds))
