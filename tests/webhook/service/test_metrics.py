"""What the webhook has done, read the way Prometheus reads it."""

from __future__ import annotations

from datetime import timedelta

from prometheus_client.parser import text_string_to_metric_families

from semilayer_pipelines.config.models import Cdc
from semilayer_pipelines.registry import feeds, generations, lenses, store_watch
from tests.registry.given import at, build
from tests.webhook.site import ENV, Site

NUMBERS = {
    "semilayer_webhook_requests_total",
    "semilayer_webhook_request_seconds_bucket",
    "semilayer_webhook_request_seconds_sum",
    "semilayer_webhook_request_seconds_count",
    "semilayer_webhook_changes_total",
    "semilayer_webhook_commits_total",
    "semilayer_webhook_committed_calls_total",
    "semilayer_webhook_waiting_calls",
    "semilayer_webhook_hidden_rows",
    "semilayer_webhook_recovered_rows",
    "semilayer_webhook_daemon_tick_age_seconds",
    "semilayer_webhook_feeds",
    "semilayer_webhook_feeds_silent",
    "semilayer_webhook_feed_lag_bytes",
    "semilayer_webhook_feed_lag_seconds",
    "semilayer_webhook_feed_changes_total",
    "semilayer_webhook_feed_restarts_total",
}


def test_calls_changes_and_commits_are_counted(sqlite_site: Site) -> None:
    # given two calls that are accepted and one that is not
    sqlite_site.push("1", "2")
    sqlite_site.push("3")
    sqlite_site.ingest({"mode": "never"})

    # when
    answer = sqlite_site.client.get("/metrics")

    # then
    samples = [s for f in text_string_to_metric_families(answer.text) for s in f.samples]
    assert {sample.name for sample in samples} == NUMBERS
    plain = {sample.name: sample.value for sample in samples if not sample.labels}
    assert plain["semilayer_webhook_changes_total"] == 3
    assert plain["semilayer_webhook_committed_calls_total"] == 2
    assert plain["semilayer_webhook_waiting_calls"] == 0
    route = {"method": "POST", "path": "/v1/ingest/{lens}"}
    requests = {
        sample.labels["status"]: sample.value
        for sample in samples
        if sample.name == "semilayer_webhook_requests_total"
        and route.items() <= sample.labels.items()
    }
    assert requests == {"202": 2, "400": 1}


def test_the_times_of_a_route_are_a_histogram_that_counts_every_call(sqlite_site: Site) -> None:
    for number in range(5):
        sqlite_site.push(str(number))

    text = sqlite_site.client.get("/metrics").text

    families = {family.name: family for family in text_string_to_metric_families(text)}
    times = families["semilayer_webhook_request_seconds"]
    assert times.type == "histogram"
    buckets = [
        sample.value
        for sample in times.samples
        if sample.name.endswith("_bucket") and sample.labels["path"] == "/v1/ingest/{lens}"
    ]
    assert len(buckets) == 15
    assert buckets == sorted(buckets)
    assert buckets[-1] == 5


def test_rows_that_no_search_found_are_told_for_the_indexes_in_use(sqlite_site: Site) -> None:
    # given an index in use, of which ten rows were found hidden, and four of them written again
    registry = sqlite_site.project.registry
    with registry.read() as db:
        lens = lenses.get(db, ENV, "items")
    made = build(registry, lens)
    with registry.begin() as db:
        generations.publish(db, made.id, at(1))
        store_watch.note_hidden(db, made.id, 10)
        store_watch.note_recovered(db, made.id, 4)

    # when
    text = sqlite_site.client.get("/metrics").text

    # then
    values = {f.name: f.samples[0].value for f in text_string_to_metric_families(text) if f.samples}
    assert values["semilayer_webhook_hidden_rows"] == 6
    assert values["semilayer_webhook_recovered_rows"] == 4


def test_followed_sources_are_told_by_the_one_that_is_furthest_behind(sqlite_site: Site) -> None:
    # given a source that is followed, and one that nobody has followed for ten minutes
    registry, now = sqlite_site.project.registry, sqlite_site.project.clock()
    with registry.begin() as db:
        env_id = lenses.get(db, ENV, "items").env_id
        for source, size, seconds, ago in (("a", 7, 0.5, 0), ("b", 3, 2.0, 600)):
            made = feeds.ensure(db, env_id, source, Cdc.LOGICAL)
            then = now - timedelta(seconds=ago)
            held = feeds.take(db, made, "lease", then)
            assert held is not None
            feeds.restarted(db, held, "The slot was gone.", then)
            feeds.advance(db, held, "1", 20, then)
            feeds.note_lag(db, held, size, seconds, then)

    # when
    text = sqlite_site.client.get("/metrics").text

    # then
    values = {f.name: f.samples[0].value for f in text_string_to_metric_families(text) if f.samples}
    told = {name.removeprefix("semilayer_webhook_"): value for name, value in values.items()}
    assert (told["feeds"], told["feeds_silent"]) == (2, 1)
    assert told["feed_lag_bytes"] == 7
    assert told["feed_lag_seconds"] >= 602
    assert (told["feed_changes"], told["feed_restarts"]) == (40, 2)
