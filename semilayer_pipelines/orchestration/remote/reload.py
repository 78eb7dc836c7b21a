"""Asking a running Dagster to show what was just pushed."""

from __future__ import annotations

import httpx

from semilayer_pipelines.orchestration.names import LOCATION

__all__ = ["reload_definitions"]

TIMEOUT_SECONDS = 30.0
_MUTATION = """
mutation Reload($name: String!) {
  reloadRepositoryLocation(repositoryLocationName: $name) {
    __typename
    ... on WorkspaceLocationEntry {
      locationOrLoadError { __typename ... on PythonError { message } }
    }
    ... on UnauthorizedError { message }
    ... on ReloadNotSupported { message }
    ... on RepositoryLocationNotFound { message }
  }
}
"""


def reload_definitions(url: str) -> str:
    """Reload the code location of the web server at `url`.

    Returns what to tell the user; a Dagster that is not running is no error, because it reads the
    registry when it starts.
    """
    try:
        response = httpx.post(
            f"{url}/graphql",
            json={"query": _MUTATION, "variables": {"name": LOCATION}},
            timeout=httpx.Timeout(TIMEOUT_SECONDS, connect=1.0),
        )
        answer = response.json()["data"]["reloadRepositoryLocation"]
    except httpx.ConnectError:
        return f"No Dagster at {url}; it will show the lenses when it starts."
    except (httpx.HTTPError, ValueError, KeyError, TypeError):
        return f"What answers at {url} is not this project's Dagster; nothing was reloaded."
    loaded = answer.get("locationOrLoadError") or {}
    if (
        answer["__typename"] == "WorkspaceLocationEntry"
        and loaded.get("__typename") != "PythonError"
    ):
        return f"Dagster at {url} shows them."
    return f"Dagster at {url} could not reload: {loaded.get('message') or answer.get('message')}"
