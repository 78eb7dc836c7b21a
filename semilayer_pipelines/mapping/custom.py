"""Transforms the user wrote in Python: `module:function` over a Polars Series.

The function gets the values of one page. It is foreign code: whatever it raises is the fault of
the rows it was given, never of the run, and is found out row by row. It is imported once, when the
mapping is compiled, with the project's folder on the path for as long as the import takes.
"""

from __future__ import annotations

import importlib
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from semilayer_pipelines.errors import ConfigError, nearest
from semilayer_pipelines.mapping.typed import plain_text, settled

__all__ = ["Applied", "Function", "apply_custom", "load_function"]

Function = Callable[[pl.Series], Any]


def load_function(reference: str, field: str, project_dir: Path | None) -> Function:
    """Import `module:function`; raises `ConfigError` saying what is missing."""
    module_name, _, name = reference.partition(":")
    where = f"fields.{field}.transform: {reference!r}"
    try:
        with _importable(project_dir):
            module = importlib.import_module(module_name)
    # A module of the user may raise anything at all while it is imported.
    except Exception as error:
        raise ConfigError(
            f"{where} cannot be imported: {type(error).__name__}: {error}.",
            cure=f"The module must be in {project_dir or 'the Python path'} or installed.",
        ) from error
    function = getattr(module, name, None)
    if not callable(function):
        known = [key for key, value in vars(module).items() if callable(value)]
        raise ConfigError(
            f"{where}: module {module_name!r} has no function {name!r}{nearest(name, known)}."
        )
    return function  # type: ignore[no-any-return]


@contextmanager
def _importable(folder: Path | None) -> Iterator[None]:
    entry = str(folder) if folder else None
    if entry:
        sys.path.insert(0, entry)
        # A module written since the last import of this process would else not be seen.
        importlib.invalidate_caches()
    try:
        yield
    finally:
        if entry and entry in sys.path:
            sys.path.remove(entry)


@dataclass(frozen=True)
class Applied:
    """The answer of a custom transform: a value for each row, and the reason for each row at fault.

    `faults` maps the row's position in the page to the message; its value is null.
    """

    values: pl.Series
    faults: dict[int, str]


def apply_custom(function: Function, values: pl.Series) -> Applied:
    """Call the function on a page, and row by row when it fails on the page."""
    try:
        return Applied(_call(function, values), {})
    except Exception:  # noqa: BLE001 - foreign code raises anything; the rows at fault are named
        return _row_by_row(function, values)


def _call(function: Function, values: pl.Series) -> pl.Series:
    result = function(values)
    if not isinstance(result, pl.Series):
        raise TypeError(f"returned {type(result).__name__}, not a Polars Series")
    if len(result) != len(values):
        raise ValueError(f"returned {len(result)} values for {len(values)}")
    return result


def _row_by_row(function: Function, values: pl.Series) -> Applied:
    results: list[pl.Series] = []
    faults: dict[int, str] = {}
    # A loop, because only calls of one row each can tell which rows are at fault.
    for position in range(len(values)):
        try:
            results.append(_call(function, values.slice(position, 1)))
        except Exception as error:  # noqa: BLE001 - told to the user as the row's reason
            results.append(pl.Series([None]))
            faults[position] = f"{type(error).__name__}: {error}"
    return Applied(_joined(results).alias(values.name), faults)


def _joined(results: list[pl.Series]) -> pl.Series:
    """Return one series of many; where they are of several types, of the plain texts of each."""
    by_dtype: defaultdict[pl.DataType, list[int]] = defaultdict(list)
    for position, series in enumerate(results):
        if series.null_count() == 0:
            by_dtype[series.dtype].append(position)
    if len(by_dtype) <= 1:
        dtype = next(iter(by_dtype), pl.Null())
        return pl.concat([pl.Series([], dtype=dtype), *(s.cast(dtype) for s in results)])
    # A row must not depend on the types that its neighbours have.
    texts = pl.Series([None] * len(results), dtype=pl.String)
    for positions in by_dtype.values():
        alike = pl.concat([results[position] for position in positions]).alias("v")
        text = plain_text(settled(pl.col("v"), alike.dtype))
        texts = texts.scatter(positions, alike.to_frame().select(text).to_series())
    return texts
