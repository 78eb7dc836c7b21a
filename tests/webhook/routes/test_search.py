from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from semilayer_pipelines.ingest.written_index import written_index
from semilayer_pipelines.queries.search import search
from tests.lab import ENV, Lab
from tests.webhook.lab_site import LabSite
from tests.webhook.site import Site, error_of
from tests.workload import FIELDS

ROWS = 60


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabSite]:
    lab = Lab.at(tmp_path_factory.mktemp("searched"), rows=ROWS)
    lab.full()
    yield from LabSite.opened(lab)


def test_a_search_answers_what_the_engine_finds(site: LabSite) -> None:
    found = search(site.lab.project, "items", "item 7", limit=5)

    answer = site.call("POST", "/v1/search/items", {"query": "item 7", "limit": 5}).json()

    assert [hit["id"] for hit in answer["results"]] == [hit.id for hit in found]
    assert set(answer["results"][0]["fields"]) == set(found[0].fields)
    assert answer["meta"]["lens"] == "items"
    assert answer["meta"]["count"] == 5


def test_similar_rows_are_the_nearest_without_the_row_itself(site: LabSite) -> None:
    row = site.lab.index.get("7")
    assert row is not None
    vector = row["_vector"]
    nearest = site.lab.index.search(list(vector), limit=6)["_key"].to_list()  # type: ignore[call-overload]

    answer = site.call("POST", "/v1/similar/items", {"id": "7", "limit": 5}).json()

    ids = [hit["id"] for hit in answer["results"]]
    assert len(ids) == 5
    assert "7" not in ids
    assert ids[0] in nearest


def test_conditions_hold_for_every_result(site: LabSite) -> None:
    all_ = site.call("POST", "/v1/search/items", {"query": "x", "limit": ROWS}).json()["results"]
    name = all_[0]["fields"]["name"]

    for path, asked in (("search", {"query": "x"}), ("similar", {"id": "3"})):
        body = asked | {"where": {"name": name}}
        found = site.call("POST", f"/v1/{path}/items", body).json()["results"]
        assert {hit["fields"]["name"] for hit in found} <= {name}
    assert found


@pytest.mark.parametrize(
    ("path", "body", "names"),
    [
        ("search", {}, "'query'"),
        ("search", {"query": ""}, "'query'"),
        ("search", {"query": " \n"}, "text to search for is empty"),
        ("search", {"query": 5}, "'query'"),
        ("search", {"query": "x", "limit": 0}, "'limit'"),
        ("search", {"query": "x", "limit": 1_001}, "'limit'"),
        ("search", {"query": "x", "limit": "5"}, "'limit'"),
        ("search", {"query": "x", "limt": 5}, "did you mean 'limit'?"),
        ("search", {"query": "x", "where": []}, "'where'"),
        ("search", {"query": "x", "mode": "fuzzy"}, "'semantic', 'keyword' or 'hybrid'"),
        ("search", {"query": "x", "minScore": "0.5"}, "'minScore'"),
        ("search", {"query": "x", "min_score": 0.5}, "did you mean 'minScore'?"),
        ("similar", {"id": "1", "mode": "keyword"}, "unknown field 'mode'"),
        ("search", {"query": "x", "where": {"nmae": 1}}, "did you mean 'name'?"),
        ("search", {"query": "x", "where": {"name": {"$like": 1}}}, "$like"),
        ("similar", {}, "'id'"),
        ("similar", {"id": 7}, "'id'"),
        ("similar", {"id": "x" * 513}, "'id'"),
    ],
)
def test_a_question_with_a_fault_is_a_bad_request_that_names_it(
    site: LabSite, path: str, body: dict[str, Any], names: str
) -> None:
    status, code, message = error_of(site.call("POST", f"/v1/{path}/items", body))

    assert (status, code) == (400, "bad_request")
    assert names in message


def test_a_search_of_a_lens_with_tenants_names_one_or_is_a_bad_request(tmp_path: Path) -> None:
    fields = FIELDS | {"owner": {"type": "text", "from": "category"}}
    lab = Lab.at(tmp_path, rows=ROWS, fields=fields, tenant="owner")
    lab.full()
    for site in LabSite.opened(lab):
        without = error_of(site.call("POST", "/v1/search/items", {"query": "x"}))
        body = {"query": "x", "limit": ROWS, "where": {"owner": "tools"}}
        found = site.call("POST", "/v1/search/items", body).json()["results"]
        similar = {"id": found[0]["id"], "where": {"owner": "books"}}
        foreign = error_of(site.call("POST", "/v1/similar/items", similar))

    assert without[:2] == (400, "bad_request")
    assert "owner must be named" in without[2]
    assert {hit["fields"]["owner"] for hit in found} == {"tools"}
    assert foreign[:2] == (404, "row_not_found")


def test_an_index_that_is_dropped_while_it_is_asked_is_no_lens_that_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = Lab.at(tmp_path, rows=ROWS)
    lab.full()

    def dropped_then(*asked: Any) -> Any:
        index = written_index(*asked)
        assert index is not None
        lab.project.store(ENV).drop(index.name)
        return index

    monkeypatch.setattr("semilayer_pipelines.queries.search.written_index", dropped_then)
    for site in LabSite.opened(lab):
        answer = site.call("POST", "/v1/search/items", {"query": "x"})

    assert error_of(answer)[:2] == (503, "unavailable")
    assert int(answer.headers["retry-after"]) > 0


def test_a_row_that_is_not_indexed_is_not_found(site: LabSite) -> None:
    answer = site.call("POST", "/v1/similar/items", {"id": "none"})

    assert error_of(answer)[:2] == (404, "row_not_found")


def test_a_lens_that_is_not_there_or_not_indexed_says_so(sqlite_site: Site) -> None:
    for path, body in (("search", {"query": "x"}), ("similar", {"id": "1"})):
        missing = sqlite_site.call("POST", f"/v1/{path}/none", body)
        empty = sqlite_site.call("POST", f"/v1/{path}/items", body)
        assert error_of(missing)[:2] == (404, "lens_not_found")
        assert error_of(empty)[:2] == (409, "refused")


def test_a_mode_and_a_least_score_are_taken_and_the_answer_says_what_was_used(
    site: LabSite, tmp_path: Path
) -> None:
    fields = FIELDS | {"name": {"type": "text", "searchable": True, "keyword": "exact"}}
    lab = Lab.at(tmp_path, rows=ROWS, fields=fields)
    lab.full()
    name = lab.object_of("7")["name"]
    for worded in LabSite.opened(lab):
        answers = [
            worded.call("POST", "/v1/search/items", {"query": name} | asked).json()
            for asked in ({}, {"mode": "keyword"}, {"mode": "semantic"})
        ]
        none = worded.call("POST", "/v1/search/items", {"query": name, "minScore": 1.5}).json()
    plain = site.call("POST", "/v1/search/items", {"query": name}).json()
    refused = error_of(site.call("POST", "/v1/search/items", {"query": name, "mode": "hybrid"}))

    modes = [answer["meta"]["mode"] for answer in answers]
    assert modes == ["hybrid", "keyword", "semantic"]
    assert plain["meta"]["mode"] == "semantic"
    assert answers[0]["results"][0]["fields"]["name"] == name
    assert answers[1]["results"][0]["bm25"] > 0
    assert answers[1]["results"][0]["similarity"] is None
    assert none["results"] == []
    assert refused[:2] == (409, "refused")
    assert "needs keywords" in refused[2]
