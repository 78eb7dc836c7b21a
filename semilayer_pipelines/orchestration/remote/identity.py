"""Whose Dagster answers at an address, and under which name: asked before anything is changed.

A person's own deployment names its code location as it likes. Ours is the one whose sensor is
tagged with the identity of the registry.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from semilayer_pipelines.orchestration.names import LOCATION, SENSOR, TAG_PROJECT

__all__ = ["QUESTION", "Location", "locations_of", "ours", "usual_url"]

QUESTION = {
    "query": """
query Whose {
  workspaceOrError {
    ... on Workspace {
      locationEntries {
        name
        locationOrLoadError {
          ... on RepositoryLocation {
            repositories { name sensors { name tags { key value } } }
          }
          ... on PythonError { message }
        }
      }
    }
  }
}
"""
}
"""What to post to `/graphql`."""


@dataclass(frozen=True)
class Location:
    """A code location that shows lenses, or that does not load and may be one that does.

    `identity` is that of the registry whose lenses it shows, `None` where it does not say. `broken`
    is why the location does not load.
    """

    name: str
    repository: str | None = None
    identity: str | None = None
    broken: str | None = None


def usual_url(environ: Mapping[str, str]) -> str:
    """Return where Dagster's web server listens on this machine if nobody named another address."""
    host = environ.get("DAGSTER_WEBSERVER_HOST", "127.0.0.1")
    return f"http://{host}:{environ.get('DAGSTER_WEBSERVER_PORT', '3000')}"


def locations_of(answer: Any) -> list[Location]:
    """Read the answer; raises `KeyError` or `TypeError` when it is not one of Dagster's."""
    found = []
    for entry in answer["data"]["workspaceOrError"]["locationEntries"]:
        loaded = entry["locationOrLoadError"] or {}
        if "message" in loaded:
            found.append(Location(entry["name"], broken=loaded["message"]))
        for repository in loaded.get("repositories", ()):
            for sensor in repository["sensors"]:
                if sensor["name"] == SENSOR:
                    tags = {tag["key"]: tag["value"] for tag in sensor["tags"]}
                    found.append(Location(entry["name"], repository["name"], tags.get(TAG_PROJECT)))
    return found


def ours(locations: Sequence[Location], identity: str) -> Location | None:
    """Return the location of this registry; else one that is broken; else one that does not say.

    A broken location that has the name of `semilayer dev` comes before others.
    """

    def rank(one: Location) -> int:
        if one.identity == identity:
            return 0
        if one.broken is not None:
            return 1 if one.name == LOCATION else 2
        return 3 if one.identity is None else 4

    best = min(locations, key=rank, default=None)
    return None if best is None or rank(best) == 4 else best
