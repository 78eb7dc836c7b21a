"""Whose Dagster answers at an address: asked before anything there is changed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from semilayer_pipelines.orchestration.names import LOCATION, SENSOR, TAG_PROJECT

__all__ = ["QUESTION", "Location", "location_of"]

QUESTION = {
    "query": """
query Whose($name: String!) {
  workspaceLocationEntryOrError(name: $name) {
    ... on WorkspaceLocationEntry {
      locationOrLoadError {
        ... on RepositoryLocation { repositories { sensors { name tags { key value } } } }
        ... on PythonError { message }
      }
    }
  }
}
""",
    "variables": {"name": LOCATION},
}
"""What to post to `/graphql`."""


@dataclass(frozen=True)
class Location:
    """What a web server says of our code location.

    `identity` is that of the registry whose lenses it shows, `None` where it does not say. `broken`
    is why the location does not load.
    """

    identity: str | None
    broken: str | None


def location_of(answer: Any) -> Location:
    """Read the answer; raises `KeyError` or `TypeError` when it is not one of Dagster's."""
    entry = answer["data"]["workspaceLocationEntryOrError"]
    loaded = entry.get("locationOrLoadError") or {}
    tags = {
        tag["key"]: tag["value"]
        for repository in loaded.get("repositories", [])
        for sensor in repository["sensors"]
        if sensor["name"] == SENSOR
        for tag in sensor["tags"]
    }
    return Location(tags.get(TAG_PROJECT), loaded.get("message"))
