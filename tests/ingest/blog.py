"""A blog in a database of any kind: a lens of its published posts, and what is in the index."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from semilayer_pipelines.project import Project, Settings
from semilayer_pipelines.registry import changes
from semilayer_pipelines.registry.changes import Action
from semilayer_pipelines.registry.jobs import Mode
from semilayer_pipelines.registry.lenses import Needs
from semilayer_pipelines.stores.protocol import KEY
from tests.clock import Clock
from tests.lab import ENV, Lab
from tests.sources import SourceDatabase

FIELDS = {"title": {"type": "text", "searchable": True}, "team": {"type": "text"}}
PUBLISHED = "status = 'published'"


@dataclass
class Blog:
    """The table `posts`, of which every third row is published, and the lens over it."""

    lab: Lab
    source: SourceDatabase
    clock: Clock
    moved: int

    @classmethod
    def over(
        cls,
        source: SourceDatabase,
        folder: Path,
        *,
        rows: int,
        environ: Mapping[str, str] | None = None,
        **lens: object,
    ) -> Blog:
        """Make the table and push the lens; its index is not made yet."""
        text = source.type("text")
        source.run(
            f"CREATE TABLE posts (id INTEGER PRIMARY KEY, title {text}, status {text}, "
            f"team {text}, moved INTEGER NOT NULL)"
        )
        states = ("published", "draft", None)
        source.insert(
            "posts", [(n, f"post {n}", states[n % 3], f"t{n % 2}", 1) for n in range(rows)]
        )
        told = {"SEMILAYER_ENV": ENV, "BLOG": source.url} | dict(environ or {})
        clock = Clock()
        project = Project(Settings.from_environ(told, folder), told, clock)
        return cls(Lab(project, folder), source, clock, 1).pushed(**lens)

    def pushed(self, **lens: object) -> Blog:
        """Push the lens as it is but for some keys."""
        self.lab.connection = "${BLOG}"
        told = {
            "table": "posts",
            "fields": FIELDS,
            "where": PUBLISHED,
            "changeTrackingColumn": "moved",
        }
        self.lab.push(**told | lens)
        return self

    def write(self, what: str, *ids: int, moves: bool = True) -> None:
        """Update rows, as in `status = 'draft'`; `moves` says whether the tracked column does."""
        self.moved += moves
        listed = ", ".join(map(str, ids))
        self.source.run(f"UPDATE posts SET {what} WHERE id IN ({listed})")
        if moves:
            self.source.run(f"UPDATE posts SET moved = {self.moved} WHERE id IN ({listed})")

    def tell(self, *ids: int | str, action: Action = Action.UPSERT) -> None:
        """Tell of rows that changed."""
        with self.lab.project.registry.begin() as db:
            told = [(str(id), action) for id in ids]
            changes.append(db, self.lab.lens.id, told, self.lab.project.clock())

    def incremental(self) -> int:
        """Walk what moved; return how many rows left the index."""
        return self.lab.run(self.lab.request(Mode.INCREMENTAL)).counts.deleted

    def settle(self) -> None:
        """Let time pass until incremental looks at nothing twice."""
        for _ in range(3):
            self.clock.go_on(60)
            self.incremental()

    def records(self) -> int:
        """Apply what is due of what was told; return how many rows left the index."""
        return self.lab.run(self.lab.request(Mode.RECORDS)).counts.deleted

    def buffered(self) -> int:
        with self.lab.project.registry.read() as db:
            return changes.buffered(db, self.lab.lens.id)

    def needs(self) -> Needs:
        """Return what would bring the index in sync with the lens."""
        return self.lab.lens.needs

    @property
    def indexed(self) -> list[int]:
        return sorted(map(int, self.lab.indexed()[KEY]))
