"""`${VAR}` and `${VAR:-default}` in a setting, filled in from the environment when it is used.

The filled text is never stored, logged or put into a message.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from semilayer_pipelines.errors import ConfigError

__all__ = ["filled", "variables"]

_VARIABLE = re.compile(r"\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?P<otherwise>:-[^}]*)?\}")
_NO_SECRET = 3  # characters


def filled(text: str, environ: Mapping[str, str], *, where: str) -> str:
    """Return `text` with its variables filled in; a default also stands in for an empty one.

    Raises `ConfigError` for a missing one; `where` says whose it is.
    """

    def value(match: re.Match[str]) -> str:
        found = environ.get(match["name"])
        if match["otherwise"] is not None:
            return found or match["otherwise"][2:]
        if found is None:
            raise ConfigError(
                f"{where}: the environment variable {match['name']} is not set.",
                cure=f"Set it, or put it into a file .env beside sl.config.yaml: {match['name']}=…",
            )
        return found

    return _VARIABLE.sub(value, text)


def variables(text: str, environ: Mapping[str, str]) -> Iterator[str]:
    """Yield what the environment puts into `text`, for who must not show it.

    What has three characters or fewer is no secret, and would be taken out of every other word.
    """
    for match in _VARIABLE.finditer(text):
        found = environ.get(match["name"], "").strip()
        if len(found) > _NO_SECRET:
            yield found
