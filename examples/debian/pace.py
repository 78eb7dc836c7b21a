"""How many of the demo's rows this machine embeds in a second, in a process of its own.

The model is loaded here first, so the run that comes finds it exported.
"""

from __future__ import annotations

import os
import sys
import time

import source

from semilayer_pipelines.config.embedding import EmbeddingConfig
from semilayer_pipelines.embedders import open_embedder
from semilayer_pipelines.errors import SemilayerError

TEXTS = 64


def main() -> int:
    """Print rows per second; return the exit code."""
    embedder = open_embedder(EmbeddingConfig(), environ=os.environ)
    texts = source.some_texts(TEXTS)
    try:
        embedder.embed(texts[:1])
        started = time.monotonic()
        embedder.embed(texts)
    except SemilayerError as error:
        print(f"{error.message} {error.cure}", file=sys.stderr)
        return 1
    print(len(texts) / (time.monotonic() - started))
    return 0


if __name__ == "__main__":
    sys.exit(main())
