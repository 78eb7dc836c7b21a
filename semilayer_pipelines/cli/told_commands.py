"""Commands that our messages tell: each names the environment that it is about.

A cure that is typed as it stands would otherwise be about another one.
"""

from __future__ import annotations

import re
from typing import Any

__all__ = ["naming_env", "naming_env_inside"]

_FOR_AN_ENV = re.compile(
    r"semilayer (?:resume|pause|sync|verify|rollback|push|follow|status|jobs|failed|explain|search"
    r"|export config|cdc [a-z]+|alerts [a-z]+|keys [a-z]+|envs set)\b(?![^`\n]* --env\b)"
)
"""A command that is about one environment and does not name it."""

_SAID = frozenset(
    {
        *("next", "cure", "advice", "outlook", "error", "message", "told", "store"),
        *("verdict", "problems"),
    }
)
"""Keys of a document under which we say something, or several things, and may tell a command."""

_OF_ROWS = frozenset({"fields", "row"})
"""Keys under which a document has values of rows, whatever those say."""


def naming_env(text: str, env: str) -> str:
    """Return a text whose commands name an environment."""
    return _FOR_AN_ENV.sub(lambda it: f"{it[0]} --env {env}", text)


def naming_env_inside(document: Any, env: str) -> Any:
    """Return a document of JSON whose commands name an environment; values of rows stay."""
    match document:
        case dict():
            return {name: _said(name, each, env) for name, each in document.items()}
        case list() | tuple():
            return [naming_env_inside(each, env) for each in document]
        case _:
            return document


def _said(name: str, value: Any, env: str) -> Any:
    if name in _OF_ROWS:
        return value
    if name not in _SAID:
        return naming_env_inside(value, env)
    match value:
        case str():
            return naming_env(value, env)
        case list() | tuple():
            return [_said(name, each, env) for each in value]
        case _:
            return naming_env_inside(value, env)
