"""What every search is asked with, checked once for all who ask: a text, a limit, a least score."""

from __future__ import annotations

import math

from semilayer_pipelines.errors import ConfigError
from semilayer_pipelines.http.contract import MAX_RESULTS

__all__ = ["check_least_score", "check_limit", "check_text"]


def check_text(text: str) -> None:
    """Raise `ConfigError` for a text of blanks: a model would take any row for its answer."""
    if not text.strip():
        raise ConfigError(
            "The text to search for is empty.", cure="Give a question, or some words."
        )


def check_limit(limit: int) -> None:
    """Raise `ConfigError` for a number of rows that no search returns."""
    if not 1 <= limit <= MAX_RESULTS:
        raise ConfigError(
            f"A search returns 1 to {MAX_RESULTS:,} rows, and not {limit:,}.",
            cure="Give another limit.",
        )


def check_least_score(least: float | None) -> None:
    """Raise `ConfigError` for what no score can be compared with."""
    if least is not None and math.isnan(least):
        raise ConfigError("The least score is no number.", cure="Give one such as 0.5, or none.")
