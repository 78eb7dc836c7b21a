"""The webhook of a showcase, as a process of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tests.console.showcase import ENV, Showcase
from tests.webhook.server import Place, Server


@contextmanager
def served(showcase: Showcase) -> Iterator[str]:
    """Start the service, and yield its address."""
    project = showcase.project
    place = Place(showcase.folder, project.settings.registry_url, project, "", showcase.keys[ENV])
    server = Server.started(place)
    try:
        yield server.url
    finally:
        server.end()
