"""/openapi.json says the truth: every route is in it, and no call whatever gets another answer."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import Case, GenerationMode
from schemathesis.core.parameters import ParameterLocation
from schemathesis.schemas import BaseSchema
from schemathesis.specs.openapi.checks import positive_data_acceptance
from starlette.routing import Route

from tests.lab import Lab
from tests.webhook.server import Place
from tests.webhook.site import Site
from webhook.app import build_app
from webhook.openapi import openapi
from webhook.operations import KEYED
from webhook.service.problems import Code


def operations() -> list[tuple[str, str, dict[str, Any]]]:
    """Return method, path and description of every documented operation."""
    return [
        (method.upper(), path, told)
        for path, methods in openapi()["paths"].items()
        for method, told in methods.items()
    ]


def test_the_document_has_every_route_and_every_route_is_in_it(sqlite_site: Site) -> None:
    app = build_app(sqlite_site.project)
    routed = {
        (method, route.path)
        for route in app.routes
        if isinstance(route, Route)
        if not route.path.startswith("/console")  # pages for people
        for method in (route.methods or set()) - {"HEAD"}
    }

    assert routed == {(method, path) for method, path, _ in operations()}


def test_every_documented_operation_answers_something_that_is_documented(
    sqlite_site: Site,
) -> None:
    for method, path, told in operations():
        address = re.sub(r"{lens}", "items", path).replace("{id}", "none")
        for key in (sqlite_site.sk, sqlite_site.ik, ""):
            for body in (None, {"mode": "full"}, {}):
                answer = sqlite_site.call(method, address, body, key=key)
                assert str(answer.status_code) in told["responses"], (method, path, answer.text)


def test_the_table_of_the_page_is_documented() -> None:
    [ingest] = [told for _, path, told in operations() if path == "/v1/ingest/{lens}"]

    assert set(ingest["responses"]) >= {"202", "400", "401", "404", "413", "415", "429", "503"}
    for word in ("bad_request", "too_many_changes", "invalid_action"):
        assert word in ingest["responses"]["400"]["description"]
    assert set(ingest["responses"]["429"]["headers"]) == {
        "Retry-After",
        "X-RateLimit-Limit",
        "X-RateLimit-Remaining",
    }


def test_no_code_is_there_twice_and_all_that_is_answered_has_one() -> None:
    assert len({code.word for code in Code}) == len(Code)
    assert all(400 <= code.status < 600 for code in Code)


@dataclass
class Asked:
    """The service that is asked, its document, and how its answers were."""

    place: Place
    document: BaseSchema
    statuses: Counter[int] = field(default_factory=Counter)


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asked]:
    lab = Lab.at(tmp_path_factory.mktemp("openapi"), rows=30)
    lab.full()
    place = Place.of(lab.project)
    with place.serving() as server:
        yield Asked(place, schemathesis.openapi.from_url(f"{server.url}/openapi.json"))


def ask(asked: Asked, method: str, path: str, mode: GenerationMode, calls: int) -> None:
    """Make calls up, mostly to a lens that exists, and check the responses against the document."""
    operation = asked.document[path][method]
    made = count()

    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(
        max_examples=calls,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    def make(case: Case[Any]) -> None:
        if next(made) % 4 and "{lens}" in path:
            case.path_parameters["lens"] = "items"
        # A call whose fault is its key keeps that fault.
        faulty_key = ParameterLocation.HEADER in faulty_parts(case)
        key = {} if faulty_key else {"Authorization": f"Bearer {asked.place.sk}"}
        answer = case.call(headers=key)
        asked.statuses[answer.status_code] += 1
        case.validate_response(
            answer,
            # What a schema cannot say, such as that no id comes twice, is refused with a 400.
            excluded_checks=[positive_data_acceptance],
        )

    make()


def faulty_parts(case: Case[Any]) -> set[ParameterLocation]:
    """Return the parts of a made-up call that are not as the document wants them."""
    parts = case.meta.components.items() if case.meta else ()
    return {part for part, info in parts if info.mode is GenerationMode.NEGATIVE}


CALLS = pytest.mark.parametrize(("method", "path"), [one[:2] for one in operations()])


@CALLS
def test_no_call_gets_a_5xx_or_an_answer_that_is_not_documented(
    asked: Asked, method: str, path: str
) -> None:
    ask(asked, method, path, GenerationMode.POSITIVE, calls=10)


@pytest.mark.parametrize(("method", "path"), [(one.method, one.path) for one in KEYED])
def test_no_faulty_call_does_either(asked: Asked, method: str, path: str) -> None:
    ask(asked, method, path, GenerationMode.NEGATIVE, calls=10)


@pytest.mark.slow
@CALLS
def test_many_calls_get_no_5xx_and_no_answer_that_is_not_documented(
    asked: Asked, method: str, path: str
) -> None:
    ask(asked, method, path, GenerationMode.POSITIVE, calls=300)


def test_the_calls_that_are_made_up_get_past_the_key_and_the_checks(asked: Asked) -> None:
    before = Counter(asked.statuses)
    ask(asked, "POST", "/v1/ingest/{lens}", GenerationMode.POSITIVE, calls=30)
    got = asked.statuses - before

    assert got[202] >= 10
    assert got[401] == 0
