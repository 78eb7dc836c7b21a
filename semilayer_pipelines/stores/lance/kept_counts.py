"""How many rows and vectors an index holds, told without opening it.

LanceDB takes longer to import than all else that `semilayer status` does. So whoever has counted an
index keeps the numbers beside it, with a digest of its files. They hold as long as that is the
same. It must never tell a number that counting would not.
"""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

from semilayer_pipelines.stores.chunks import OF_CHUNKS
from semilayer_pipelines.stores.lance.content import content_token

__all__ = ["KeptCounts"]

_FILE = "counts.json"


class KeptCounts:
    """The numbers of the indexes in `folder`, which is the store's folder of an environment.

    They lie in the folder of the table, and so go with it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def of(self, name: str) -> tuple[int, int] | None:
        """Return the rows and vectors of an index, `None` where somebody has to count."""
        try:
            token, rows, vectors = json.loads(self._file(name).read_text())
        except (OSError, ValueError, TypeError):
            # Nobody counted yet, or the machine stopped while the file was written.
            return None
        return (int(rows), int(vectors)) if token == self._token(name) else None

    def keep(self, name: str, token: str, rows: int, vectors: int) -> None:
        """Keep what was counted; `token` is the index's `content_token` from before counting."""
        file = self._file(name)
        written = file.with_name(f".{_FILE}")
        # Who may not write here counts every time, as before.
        with suppress(OSError):
            written.write_text(json.dumps([token, rows, vectors]))
            written.replace(file)

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
