"""What a lens says to the orchestrator: upstream assets, automation, freshness, how it is shown.

None of it concerns what an index holds. The forms are those that Dagster takes; nothing here
imports it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from semilayer_pipelines.config.cron import cron_problem
from semilayer_pipelines.errors import nearest

__all__ = [
    "AUTOMATION",
    "EAGER",
    "FOR_THE_ORCHESTRATOR",
    "GROUP",
    "OFF",
    "checked_automation",
    "checked_dep",
    "checked_owner",
    "checked_tags",
    "cron_of",
]

FOR_THE_ORCHESTRATOR = (
    "deps",
    "automation",
    "freshness",
    "description",
    "group",
    "owners",
    "tags",
)
"""The fields of a lens's model that are described here."""

EAGER = "eager"
OFF = "off"
AUTOMATION = r"^(eager|off|on_cron\(.+\))$"
GROUP = r"^[A-Za-z0-9_]+(/[A-Za-z0-9_]+)*$"

_ON_CRON = re.compile(r"on_cron\((.*)\)")
_OWNER = re.compile(
    r"team:[A-Za-z0-9_.\- ]+|\w[\w.%+-]*@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,7}", re.ASCII
)
_TAG = re.compile(r"([\w.-]{1,63}/)?[\w.-]{1,63}", re.ASCII)
_TAG_VALUE = re.compile(r"[\w.-]{0,63}", re.ASCII)
_TAKEN = ("semilayer/", "dagster/")


def checked_automation(text: str) -> str:
    """Return the automation as it is stored; raises `ValueError` for any other word or cron."""
    words = (EAGER, OFF)
    text = text.strip()
    if text in words:
        return text
    found = _ON_CRON.fullmatch(text)
    if found is None:
        raise ValueError(
            f"expected eager, off or on_cron(minute hour day month weekday), such as "
            f"on_cron(0 6 * * *); got {text!r}{nearest(text, words)}"
        )
    cron = " ".join(found[1].strip("\"' ").split())
    problem = cron_problem(cron)
    if problem is not None:
        raise ValueError(f"{problem}; daily at six is on_cron(0 6 * * *)")
    return f"on_cron({cron})"


def cron_of(automation: str) -> str | None:
    """Return the cron expression of a checked automation; `None` for another word."""
    found = _ON_CRON.fullmatch(automation)
    return None if found is None else found[1]


def checked_dep(text: str) -> str:
    """Return an asset key as Dagster's UI writes it, `a/b`; raises `ValueError` for no key."""
    parts = text.split("/")
    if any(not part or part != part.strip() or not part.isprintable() for part in parts):
        raise ValueError(
            f"expected an asset key, its parts joined by '/', such as analytics/orders; "
            f"got {text!r}"
        )
    return text


def checked_owner(text: str) -> str:
    """Return an owner; raises `ValueError` for what is neither an e-mail address nor a team.

    Dagster takes no address whose last part is longer than seven letters.
    """
    if not _OWNER.fullmatch(text):
        raise ValueError(f"expected an e-mail address or team:NAME; got {text!r}")
    return text


def checked_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """Return tags; raises `ValueError` for one that an asset cannot have."""
    for name, value in tags.items():
        if not _TAG.fullmatch(name) or not _TAG_VALUE.fullmatch(value):
            raise ValueError(
                f"tag {name!r}: a name and its value are letters, digits, '_', '-' and '.', at "
                f"most 63; the name may have a namespace before a '/'; the value is {value!r}"
            )
        if name.startswith(_TAKEN):
            raise ValueError(f"tag {name!r}: names in {' and '.join(_TAKEN)} are taken")
    return dict(tags)
