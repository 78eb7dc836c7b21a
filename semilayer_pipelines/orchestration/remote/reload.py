"""Asking a running Dagster to show what was just pushed."""

from __future__ import annotations

from typing import Any

import httpx

from semilayer_pipelines.orchestration.remote.identity import (
    QUESTION,
    Location,
    locations_of,
    ours,
    usual_url,
)
from semilayer_pipelines.project import Project

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


_LATER = "it will show the lenses when it starts."


def reload_definitions(project: Project) -> str:
    """Reload the code location of the project's Dagster, if it is the project's.

    Returns what to tell the user; a Dagster that is not running is no error, because it reads the
    registry when it starts.
    """
    named, dev = project.dagster_url, project.dev
    url = named or usual_url(project.environ)
    nobody = f"No Dagster of this project is known here; {_LATER}"
    try:
        identity = project.registry.identity()
        location = ours(locations_of(_post(url, QUESTION)), identity)
        if named is None and (location is None or location.identity != identity):
            return nobody
        if location is None:
            return f"Dagster at {url} is another project's; nothing was reloaded."
        if location.identity == identity:
            return _reload(url, location)
        if location.broken is None:
            return (
                f"What answers at {url} does not say whose Dagster it is; nothing was reloaded. "
                "If it is this project's, restart its code server."
            )
        if dev is not None and url == dev.dagster:
            # Its own `semilayer dev` says that it is ours. What was pushed may be the cure.
            return _reload(url, location)
        return f"Dagster at {url} cannot load its lenses, so restart it: {location.broken}"
    except httpx.ConnectError:
        return nobody if named is None else f"No Dagster at {url}; {_LATER}"
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, KeyError, TypeError, AttributeError):
        if named is None:
            return nobody
        return f"What answers at {url} is not this project's Dagster; nothing was reloaded."


def _reload(url: str, location: Location) -> str:
    mutation = {"query": _MUTATION, "variables": {"name": location.name}}
    answer = _post(url, mutation)["data"]["reloadRepositoryLocation"]
    loaded = answer.get("locationOrLoadError") or {}
    if (
        answer["__typename"] == "WorkspaceLocationEntry"
        and loaded.get("__typename") != "PythonError"
    ):
        return f"Dagster at {url} shows them."
    return f"Dagster at {url} could not reload: {loaded.get('message') or answer.get('message')}"


def _post(url: str, body: dict[str, Any]) -> Any:
    timeout = httpx.Timeout(TIMEOUT_SECONDS, connect=1.0)
    return httpx.post(f"{url}/graphql", json=body, timeout=timeout).json()
