"""Some row of a table, to be looked at: nobody has to know an id for that."""

from __future__ import annotations

from dataclasses import dataclass

from semilayer_pipelines.bridges.cursors import decode
from semilayer_pipelines.bridges.protocol import Window
from semilayer_pipelines.bridges.row_key import key_texts
from semilayer_pipelines.errors import ConfigError
from semilayer_pipelines.ingest.open_lens import as_indexed, open_lens
from semilayer_pipelines.project import Project
from semilayer_pipelines.registry import lenses

__all__ = ["AnyRow", "any_row"]


@dataclass(frozen=True)
class AnyRow:
    """The id of a row, and the encoded key after which the next one comes; `None` for the last."""

    id: str
    cursor: str | None


def any_row(project: Project, env: str, name: str, after: str | None = None) -> AnyRow | None:
    """Return the first row of a lens's table in key order, or the next one after an encoded key.

    `None` when there is none. Raises `NotFound`, `ConfigError` for an `after` that was not given
    out here, and what bridge and mapping raise.
    """
    if after is not None:
        try:
            decode(after)
        except (ValueError, TypeError):
            raise ConfigError(
                "The address names no row of the table.", cure="Begin with the first row again."
            ) from None
    with project.registry.read() as db:
        lens = lenses.get(db, env, name)
    with open_lens(project, as_indexed(project, lens)) as opened:
        page = opened.bridge.read_page(opened.selection, Window(after=after), 1)
        keys = key_texts(page.frame, opened.selection.key)
        return AnyRow(keys[0], page.cursor) if len(keys) else None
