"""How fast this machine embeds, as last measured: what an estimate before a long load rests on.

Kept in the user's cache folder, because it belongs to the machine and not to a project. It is a
hint: it may be missing or old, and losing it costs nothing.
"""

from __future__ import annotations

import json
import os
import tempfile
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from platformdirs import user_cache_path

__all__ = ["Rate", "keep_rate", "known_rate"]

_MIN_TEXTS = 200  # fewer say more about the start than about the speed


@dataclass(frozen=True)
class Rate:
    """Texts and tokens a second; tokens are 0 where the embedder does not count them."""

    texts_per_second: float
    tokens_per_second: float


def known_rate(fingerprint: str) -> Rate | None:
    """Return how fast texts were embedded with this model on this machine the last time."""
    entry = _all_rates().get(fingerprint)
    if not isinstance(entry, dict):
        return None
    try:
        return Rate(float(entry["texts_per_second"]), float(entry["tokens_per_second"]))
    except (KeyError, TypeError, ValueError):
        return None


def keep_rate(fingerprint: str, *, texts: int, tokens: int, seconds: float) -> None:
    """Remember a measurement, unless it is of too few texts to say much."""
    if texts < _MIN_TEXTS or seconds <= 0:
        return
    rates = _all_rates() | {fingerprint: asdict(Rate(texts / seconds, tokens / seconds))}
    # A folder that cannot be written to: the next estimate does without.
    with suppress(OSError):
        file = _file()
        file.parent.mkdir(parents=True, exist_ok=True)
        # Put in place in one step: another process may be reading it.
        handle, name = tempfile.mkstemp(dir=file.parent)
        with open(handle, "w") as written:
            json.dump(rates, written)
        os.replace(name, file)


def _all_rates() -> dict[str, object]:
    try:
        found = json.loads(_file().read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _file() -> Path:
    return user_cache_path("semilayer") / "embedding-rates.json"
