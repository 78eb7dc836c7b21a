"""What a follower buffers is launched at once; without Dagster it costs seconds, and no change."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sized
from contextlib import contextmanager
from functools import partial

from semilayer_pipelines.follow.run import follow_sources
from semilayer_pipelines.orchestration.remote.nudge_thread import nudging
from semilayer_pipelines.registry import jobs
from semilayer_pipelines.registry.jobs import Mode
from semilayer_pipelines.registry.jobs.queries import NUDGE_GRACE
from tests.follow.site import SILENCE, Site
from tests.lab import ENV, Lab
from tests.patience import PATIENCE_SECONDS, eventually
from tests.webhook.service.test_nudge import Dagster


@contextmanager
def following(site: Site, dagster_url: str) -> Iterator[threading.Thread]:
    """Follow as the command does, beside the Dagster at this address."""
    project = Lab.opened(site.lab.folder, {"SEMILAYER_DAGSTER_URL": dagster_url}).project
    stop = threading.Event()

    def follow() -> None:
        with nudging(project) as launcher:
            follow_sources(project, stop, env=ENV, silence=SILENCE, launcher=launcher)

    thread = threading.Thread(target=follow)
    thread.start()
    try:
        yield thread
    finally:
        stop.set()
        thread.join(PATIENCE_SECONDS)
        project.registry.close()
        assert not thread.is_alive()


def has(number: int, look: Callable[[], Sized]) -> bool:
    return len(look()) == number


def test_a_change_is_launched_when_its_debounce_is_over_and_what_it_queued_later_too(
    site: Site,
) -> None:
    site.push(debounce="0")
    with Dagster().serving() as dagster, following(site, dagster.url):
        dagster.identity = site.lab.project.registry.identity()
        for turn in (1, 2):
            site.db.execute("UPDATE items SET name = 'new' WHERE id = %s", (turn,))

            eventually(partial(has, turn, lambda: dagster.asked))

            [job] = [one for one in site.queued() if one.mode is Mode.RECORDS]
            tags = dagster.asked[-1]["executionMetadata"]["tags"]
            assert {"key": ".dagster/semilayer-job", "value": job.id} in tags
            site.lab.run(job)
    assert site.lab.audit().clean


def test_a_dagster_that_is_away_stops_no_follower_and_leaves_the_jobs_to_the_sensor(
    site: Site,
) -> None:
    site.push(debounce="0")
    with following(site, "http://127.0.0.1:9") as thread:
        for turn in range(1, 4):
            site.db.execute("UPDATE items SET name = 'new' WHERE id = %s", (turn,))
            eventually(partial(has, turn, site.told))
        assert thread.is_alive()

    later = site.lab.project.clock() + NUDGE_GRACE
    with site.lab.project.registry.read() as db:
        assert [job.mode for job in jobs.due(db, later) if job.mode is Mode.RECORDS]
