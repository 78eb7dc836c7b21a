"""The store as `semilayer status` asks it: for seconds at most, and no more once it is silent."""

from __future__ import annotations

from semilayer_pipelines.errors import (
    IndexDropped,
    SemilayerError,
    StoreRefused,
    StoreUnavailable,
)
from semilayer_pipelines.http.deadline import within
from semilayer_pipelines.ingest.count_index import count_index
from semilayer_pipelines.ingest.written_index import written_index
from semilayer_pipelines.project import Project
from semilayer_pipelines.redaction import redact
from semilayer_pipelines.registry.generations import Generation
from semilayer_pipelines.registry.lenses import Lens

__all__ = ["STORE_SECONDS", "AskedStore"]

STORE_SECONDS = 5.0
"""How long `semilayer status` waits for a store that is a server, before it says so."""


class AskedStore:
    """Counts rows and vectors as long as the store answers; `trouble` says why it does not."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self.trouble: str | None = None

    def reach(self, env: str) -> None:
        """Ask a store that is a server whether it is there."""
        try:
            store = self._project.store(env)  # loads its client, for which nobody is to blame
            # Nothing to close: the client bounds each wait, and the thread ends with the last.
            within(STORE_SECONDS, store.names, give_up=lambda: None)
        except TimeoutError:
            self.trouble = f"no answer within {STORE_SECONDS:g} s."
        except SemilayerError as error:
            self._note(error)

    def counted(self, lens: Lens, active: Generation) -> tuple[int, int] | None:
        """Return how many rows and how many vectors an index holds; `None` if nobody says.

        Raises `IndexDamaged`.
        """
        if self.trouble is not None:
            return None
        kept = self._project.kept_facts(lens.env)
        if kept is not None and (known := kept.counts(active.index_name)) is not None:
            return known
        try:
            index = written_index(self._project.registry, self._project.store(lens.env), active)
            return count_index(index, kept) if index else (0, 0)
        except (StoreUnavailable, StoreRefused) as error:
            self._note(error)
        except IndexDropped:
            pass  # between two looks
        return None

    def _note(self, error: SemilayerError) -> None:
        self.trouble = redact(f"{error.message} {error.cure}".strip())
