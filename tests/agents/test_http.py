"""Over HTTP an agent needs a key of the right type, which opens its own environment alone."""

from __future__ import annotations

import secrets

import pytest

from semilayer_pipelines.registry import api_keys
from semilayer_pipelines.registry.api_key import KeyKind
from tests.agents.conftest import Service
from tests.cli.project import Folder


def issue(folder: Folder, kind: KeyKind, env: str = "development") -> tuple[str, str]:
    """Return a new key's id and text."""
    project = folder.project
    with project.registry.begin() as db:
        key, text = api_keys.create(
            db, env, kind, "agent", choose=secrets.choice, now=project.clock()
        )
    return key.id, text


# A client of 1.x shakes hands first; one of 2.x does not.
@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_a_client_of_either_kind_searches_with_a_service_key(
    served: Folder, service: Service, mode: str
) -> None:
    _, key = issue(served, KeyKind.SERVICE)

    found = service.agent(key, mode).call("search", lens="items", query="amber", limit=2)

    assert len(found["rows"]) == 2


def test_a_key_opens_its_own_environment_and_no_token_of_another(
    served: Folder, service: Service
) -> None:
    served.run("envs", "create", "staging")
    here = service.agent(issue(served, KeyKind.SERVICE)[1])
    there = service.agent(issue(served, KeyKind.SERVICE, "staging")[1])

    token = here.call("plan_change", lens="items", action="pause")["token"]

    assert there.call("list_lenses") == {"env": "staging", "lenses": []}
    assert "unknown" in there.refused("apply_change", token=token)
    assert here.call("status")["lenses"][0]["status"] == "ready"


def test_no_key_a_wrong_one_or_a_revoked_one_opens_nothing(
    served: Folder, service: Service
) -> None:
    id, revoked = issue(served, KeyKind.SERVICE)
    served.run("keys", "revoke", id)
    statuses = [
        service.post({"authorization": f"Bearer {key}"} if key else {}).status_code
        for key in (
            None,
            "sk_development_made-up",
            "pk_development_0123456789",
            revoked,
            issue(served, KeyKind.INGEST)[1],
            issue(served, KeyKind.SEARCH)[1],
        )
    ]

    assert statuses == [401, 401, 403, 401, 403, 403]


@pytest.mark.parametrize(
    ("header", "status"), [({"host": "evil.test"}, 421), ({"origin": "http://evil.test"}, 403)]
)
def test_a_page_in_a_browser_cannot_call_it(
    served: Folder, service: Service, header: dict[str, str], status: int
) -> None:
    _, key = issue(served, KeyKind.SERVICE)

    assert service.post({"authorization": f"Bearer {key}"} | header).status_code == status
