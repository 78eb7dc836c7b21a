"""One warm model behind an OpenAI-compatible address: the `semilayer embedder`.

Many callers share the model. Their texts meet in one bounded queue, and a batch takes texts of
similar length from any of them. The service keeps nothing between requests, so several of them can
stand behind one address. It never imports Dagster, a bridge or a store.
"""

from semilayer_pipelines.embedder_service.app import build_app
from semilayer_pipelines.embedder_service.model import Opened, ServedModel, open_model
from semilayer_pipelines.embedder_service.serve import serve

__all__ = ["Opened", "ServedModel", "build_app", "open_model", "serve"]
