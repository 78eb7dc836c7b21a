"""A shop's project as a console shows it: lenses that are well, at rest, at work and in trouble.

Tests open its pages, and the pictures of the documentation are of it.
"""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

from sqlalchemy import update

from semilayer_pipelines.control import lifecycle
from semilayer_pipelines.control.environments import create_environment
from semilayer_pipelines.control.push_config import push_config
from semilayer_pipelines.counts import Counts
from semilayer_pipelines.errors import GuardStopped
from semilayer_pipelines.ingest.run_job import run_job
from semilayer_pipelines.project import Project
from semilayer_pipelines.registry import jobs, lenses, page_log, tables
from semilayer_pipelines.registry.api_key import KeyKind
from semilayer_pipelines.registry.heartbeats import DAEMON, Heart
from semilayer_pipelines.registry.jobs import Job, JobStatus, Mode

__all__ = ["ENV", "Showcase"]

ENV = "production"
_PRODUCTS = (
    ("Trail running shoe", "Light, grips on wet rock, with a <b>reinforced</b> toe."),
    ("Waterproof jacket", "Three layers, taped seams, and a hood that fits over a helmet."),
    ("Down sleeping bag", "Warm to -7 °C, 860 g, packs to the size of a loaf of bread."),
    ("Titanium cook pot", "900 ml, boils in three minutes on a small stove."),
    ("Headlamp", "400 lumen, charges by USB-C, red light for the tent."),
    ("Merino base layer", "Warm when damp, and does not smell after five days."),
)
_CONFIG = """\
stack: shop
sources:
  main: {{ bridge: sql, connection: "sqlite:///{database}" }}
lenses:
  products: &product
    source: main
    table: products
    fields:
      title: {{ type: text, searchable: {{ weight: 2 }}, keyword: true }}
      body: {{ type: text, searchable: true, keyword: true, transform: htmlToText }}
      price: {{ type: number }}
      stock: {{ type: boolean, from: in_stock }}
    embedding: {{ provider: hash }}
    syncInterval: 5m
    smartSyncInterval: 24h
  orders:
    source: main
    table: orders
    fields:
      note: {{ type: text, searchable: true }}
      total: {{ type: number }}
    embedding: {{ provider: hash }}
    smartSyncInterval: 6h
  reviews:
    source: main
    table: reviews
    fields:
      text: {{ type: text, searchable: true }}
      stars: {{ type: number }}
    embedding: {{ provider: hash }}
  articles:
    source: main
    table: articles
    fields:
      text: {{ type: text, searchable: true }}
    embedding: {{ provider: hash }}
"""


class Showcase:
    """The project in a folder, with a service key for each of its two environments."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.database = folder / "shop.db"
        self._fill()
        (folder / "sl.config.yaml").write_text(_CONFIG.format(database=self.database))
        self.project = Project.at(folder, env=ENV)
        self.keys = {env: self._environment(env) for env in (ENV, "staging")}
        push_config(self.project, env=ENV)
        push_config(self.project, env="staging", only=["products", "reviews"])
        self._lead_to_trouble()
        self._remember_a_day()

    def _environment(self, env: str) -> str:
        _, issued = create_environment(self.project, env)
        return next(one.text for one in issued if one.key.kind is KeyKind.SERVICE)

    def _fill(self) -> None:
        with sqlite3.connect(self.database) as db:
            db.execute(
                "CREATE TABLE products (id INTEGER PRIMARY KEY, title TEXT, body TEXT, price TEXT, "
                "in_stock INTEGER, updated_at TEXT)"
            )
            for id in range(1, 601):
                title, body = _PRODUCTS[id % len(_PRODUCTS)]
                price = "on request" if id in (41, 97, 411) else f"{19 + id % 180}.90"
                named = f"{title} {chr(65 + id % 26)}{id}"
                row = (id, named, f"<p>{body}</p>", price, id % 3 > 0, "2026-01-05T10:00:00Z")
                db.execute("INSERT INTO products VALUES (?, ?, ?, ?, ?, ?)", row)
            db.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, note TEXT, total REAL)")
            db.execute("CREATE TABLE reviews (id INTEGER PRIMARY KEY, text TEXT, stars INTEGER)")
            db.execute("CREATE TABLE articles (id INTEGER PRIMARY KEY, text TEXT)")
            for id in range(1, 301):
                note = f"Please leave parcel {id} at the door"
                db.execute("INSERT INTO orders VALUES (?, ?, ?)", (id, note, id * 1.5))
                review = f"Bought it for walk number {id}: {_PRODUCTS[id % 6][1]}"
                db.execute("INSERT INTO reviews VALUES (?, ?, ?)", (id, review, 1 + id % 5))
                article = f"How to choose, part {id}"
                db.execute("INSERT INTO articles VALUES (?, ?)", (id, article))

    def _lead_to_trouble(self) -> None:
        for name in ("products", "orders", "reviews"):
            self.run(lifecycle.request_rebuild(self.project, ENV, name))
        self.run(lifecycle.request_rebuild(self.project, "staging", "products"))
        with sqlite3.connect(self.database) as db:
            db.execute("DELETE FROM orders WHERE id > 40")
        with suppress(GuardStopped):  # the trouble that is to be seen
            self.run(lifecycle.request_sync(self.project, ENV, "orders"))
        lifecycle.pause(self.project, ENV, "reviews")

    def run(self, job: Job) -> None:
        """Do a job, as Dagster would."""
        run_job(self.project, job.id)

    def tick(self) -> None:
        """Let Dagster's daemon be at work."""
        Heart(DAEMON).beat(self.project.registry, self.project.clock())

    def lens_id(self, name: str) -> int:
        with self.project.registry.read() as db:
            return lenses.get(db, ENV, name).id

    def _remember_a_day(self) -> None:
        """Note what a day of ticks leaves in the registry, so that there is something to plot."""
        now, lens = self.project.clock(), self.lens_id("products")
        for age in range(96, 0, -1):
            if 40 < age < 52:
                continue  # the night in which the database was away
            began = now - timedelta(minutes=15 * age)
            rows = 200 + (age * 37) % 400
            with self.project.registry.begin() as db:
                job = jobs.request(
                    db,
                    lenses.by_id(db, lens),
                    Mode.INCREMENTAL,
                    job_id=uuid4().hex,
                    origin="schedule",
                    now=began,
                ).job
                page_log.record(
                    db,
                    job.id,
                    shard=0,
                    page=1,
                    rows=rows,
                    counts=Counts(read=rows, written=rows // 3, embedded=rows // 3),
                    seconds=0.5 + (age % 7) / 4,
                    cursor=None,
                    now=began + timedelta(seconds=3),
                )
                db.execute(
                    update(tables.jobs)
                    .where(tables.jobs.c.id == job.id)
                    .values(
                        status=JobStatus.COMPLETED,
                        slot=None,
                        sweep_slot=None,
                        counts=Counts(read=rows, written=rows // 3, embedded=rows // 3),
                        started_at=began,
                        ended_at=began + timedelta(seconds=3),
                    )
                )
