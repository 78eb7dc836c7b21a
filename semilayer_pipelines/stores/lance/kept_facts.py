"""What an index holds, told without opening it: how many rows and vectors, and its schema.

LanceDB takes longer to import than all else that `semilayer status` does. So whoever has counted an
index keeps what it holds beside it, with a digest of its files. That is so as long as the digest is
the same. It must never tell what a look into the index would not.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from semilayer_pipelines.config.fields import FieldType
from semilayer_pipelines.stores.chunks import OF_CHUNKS
from semilayer_pipelines.stores.lance.content import content_token

if TYPE_CHECKING:
    from semilayer_pipelines.stores.protocol import IndexSchema

__all__ = ["KeptFacts"]

_FILE = "held.json"


class KeptFacts:
    """Of the indexes in `folder`, which is the store's folder of an environment.

    They lie in the folder of the table, and so go with it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def counts(self, name: str) -> tuple[int, int] | None:
        """Return the rows and vectors of an index, `None` where somebody has to count."""
        kept = self._kept(name)
        return None if kept is None else (kept["rows"], kept["vectors"])

    def schema(self, name: str) -> IndexSchema | None:
        """Return what the objects of an index look like, `None` where somebody has to look."""
        # Here, because it brings more than a command needs that only counts.
        from semilayer_pipelines.stores.protocol import IndexField, IndexSchema

        kept = self._kept(name)
        if kept is None:
            return None
        try:
            told: dict[str, Any] = kept["schema"]
            fields = [
                IndexField(**one | {"type": FieldType(one["type"])}) for one in told["fields"]
            ]
            return IndexSchema(**told | {"fields": tuple(fields)})
        except (ValueError, TypeError, KeyError):
            return None  # another version of this program wrote it

    def keep(self, name: str, token: str, rows: int, vectors: int, schema: IndexSchema) -> None:
        """Keep what an index holds; `token` is its `content_token` from before counting."""
        file = self._file(name)
        written = file.with_name(f".{_FILE}")
        told = {"token": token, "rows": rows, "vectors": vectors, "schema": asdict(schema)}
        # Who may not write here looks every time, as before.
        with suppress(OSError):
            written.write_text(json.dumps(told))
            written.replace(file)

    def _kept(self, name: str) -> dict[str, Any] | None:
        try:
            kept: dict[str, Any] = json.loads(self._file(name).read_text())
            return kept if kept["token"] == self._token(name) else None
        except (OSError, ValueError, TypeError, KeyError):
            # Nobody looked yet, or the machine stopped while the file was written.
            return None

    def _token(self, name: str) -> str | None:
        try:
            rows = content_token(self._table(name))
            if rows is None or not self._table(name + OF_CHUNKS).exists():
                return rows
            of_chunks = content_token(self._table(name + OF_CHUNKS))
        except OSError:
            return None
        return None if of_chunks is None else f"{rows} {of_chunks}"

    def _file(self, name: str) -> Path:
        return self._table(name) / _FILE

    def _table(self, name: str) -> Path:
        return self._folder / f"{name}.lance"
