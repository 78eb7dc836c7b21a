"""From a commit in PostgreSQL to a row that can be found, while a run lingers.

A follower reads the log; the loop of a lingering run does the jobs, in this process and without
Dagster. The index is asked for the row all the while.
"""

from __future__ import annotations

import threading
import time
from functools import partial

import psycopg

from benchmarks.catalogue import workplace
from benchmarks.result import Result, Wanted, measured
from semilayer_pipelines.ingest.further_jobs import further_jobs
from semilayer_pipelines.registry.jobs import Mode
from tests import servers
from tests.follow.site import Site
from tests.patience import eventually

__all__ = ["run"]

_EDITS = 15
_DEBOUNCE = {"0": 0.0, "500ms": 0.5, "2s": 2.0}
_AFTER_IT = 0.7
"""Seconds that all but the debounce may take."""


def run() -> list[Result]:
    """Measure with three lengths of debounce."""
    return [_measured(debounce, seconds) for debounce, seconds in _DEBOUNCE.items()]


def _measured(debounce: str, wait: float) -> Result:
    with (
        workplace() as folder,
        servers.database(servers.logical_postgres_url()) as url,
        psycopg.connect(url.replace("postgresql+psycopg", "postgresql"), autocommit=True) as db,
    ):
        db.execute("CREATE TABLE items (id int PRIMARY KEY, name text, other int)")
        db.execute("INSERT INTO items SELECT n, 'name ' || n FROM generate_series(1, 1000) n")
        site = Site.at(folder, url, db, debounce=debounce)
        site.install()
        try:
            site.lab.full()
            seconds = _edited(site)
        finally:
            site.uninstall()
    return Result(
        f"freshness: commit to searchable by cdc, a run lingers, debounce {debounce}",
        "s",
        measured(seconds),
        Wanted.AT_MOST,
        wait + _AFTER_IT,
    )


def _edited(site: Site) -> list[float]:
    stop = threading.Event()
    lingering = threading.Thread(target=_linger, args=(site, stop))
    seconds = []
    with site.followed():
        eventually(lambda: site.syncs() == 1)
        site.do_syncs()
        lingering.start()
        try:
            for number in range(_EDITS + 1):
                site.db.execute("UPDATE items SET name = %s WHERE id = 7", (f"edit {number}",))
                committed = time.time()
                eventually(partial(_shows, site, f"edit {number}"))
                if number:  # the first one loads what the others find loaded
                    seconds.append(time.time() - committed)
        finally:
            stop.set()
            lingering.join()
    return seconds


def _linger(site: Site, stop: threading.Event) -> None:
    while not stop.is_set():
        for job in further_jobs(
            site.lab.project, Mode.RECORDS, lingers=True, place_is_wanted=stop.is_set
        ):
            site.lab.run(job)


def _shows(site: Site, name: str) -> bool:
    return site.lab.object_of("7")["name"] == name
