"""What every search is asked with, checked once for all who ask: text, id, limit, least score."""

from __future__ import annotations

import math
from typing import SupportsIndex

from semilayer_pipelines.errors import ConfigError
from semilayer_pipelines.http.contract import MAX_RESULTS, has_half_a_pair

__all__ = ["check_least_score", "check_limit", "check_row_id", "check_text"]


def check_text(text: str) -> None:
    """Raise `ConfigError` for what is no text, or one of blanks: any row would be its answer."""
    if not isinstance(text, str):
        raise ConfigError(
            f"What to search for is no text: {text!r}.", cure="Give a question, or some words."
        )
    if not text.strip():
        raise ConfigError(
            "The text to search for is empty.", cure="Give a question, or some words."
        )
    if has_half_a_pair(text):
        raise ConfigError(
            f"The text to search for holds half of a surrogate pair: {text[:100]!a}.",
            cure="Give it as valid Unicode.",
        )


def check_row_id(id: str) -> None:
    """Raise `ConfigError` for what is no text, as all ids of rows are."""
    if not isinstance(id, str):
        raise ConfigError(
            f"The id of a row is a text, and not {id!r}.",
            cure="Give it as a hit has it: '3' for the key 3.",
        )
    if has_half_a_pair(id):
        raise ConfigError(
            f"The id of a row is valid Unicode, and {id[:100]!a} holds half of a surrogate pair.",
            cure="Give it as a hit has it.",
        )


def check_limit(limit: int) -> None:
    """Raise `ConfigError` for a number of rows that no search returns."""
    if not isinstance(limit, SupportsIndex):  # also those of NumPy
        raise ConfigError(f"The limit is no whole number: {limit!r}.", cure="Give another limit.")
    if not 1 <= limit <= MAX_RESULTS:
        raise ConfigError(
            f"A search returns 1 to {MAX_RESULTS:,} rows, and not {limit:,}.",
            cure="Give another limit.",
        )


def check_least_score(least: float | None) -> None:
    """Raise `ConfigError` for what no score can be compared with."""
    if least is not None and math.isnan(least):
        raise ConfigError("The least score is no number.", cure="Give one such as 0.5, or none.")
