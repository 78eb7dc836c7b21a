"""What the webhook has done, read the way Prometheus reads it."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from tests.webhook.site import Site

NUMBERS = {
    "semilayer_webhook_requests_total",
    "semilayer_webhook_request_seconds_bucket",
    "semilayer_webhook_request_seconds_sum",
    "semilayer_webhook_request_seconds_count",
    "semilayer_webhook_changes_total",
    "semilayer_webhook_commits_total",
    "semilayer_webhook_committed_calls_total",
    "semilayer_webhook_waiting_calls",
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
