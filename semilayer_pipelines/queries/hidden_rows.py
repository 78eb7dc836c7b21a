"""Why the source of a lens may hide rows from us, by asking it."""

from __future__ import annotations

from semilayer_pipelines.bridges.protocol import HiddenRows
from semilayer_pipelines.errors import SemilayerError
from semilayer_pipelines.ingest.open_lens import as_indexed
from semilayer_pipelines.mapping.joined import lens_table
from semilayer_pipelines.project import Project
from semilayer_pipelines.registry import sources
from semilayer_pipelines.registry.lenses import Lens

__all__ = ["hidden_rows"]


def hidden_rows(project: Project, lens: Lens) -> HiddenRows | None:
    """Ask the source; nothing is raised for one that does not answer, which others tell."""
    config = as_indexed(project, lens).config
    try:
        with project.registry.read() as db:
            source = sources.get(db, lens.env_id, config.source)
        bridge = project.bridge(config.source, source)
        try:
            return lens_table(config, bridge).hidden(bridge)
        finally:
            bridge.close()
    except SemilayerError:
        return None
