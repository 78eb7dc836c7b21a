"""A model as a graph on disk, with all that is needed to run it without torch.

Exported once a machine from the loaded model, its pooling and normalisation included, and kept in
the user's cache folder under the name of the vector space. The probes' vectors, as torch made them,
lie beside it: whoever loads a graph can tell whether it still gives the model's own vectors.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import xxhash
from numpy.typing import NDArray
from platformdirs import user_cache_path

from semilayer_pipelines.embedders.local.tokens import Tokeniser

__all__ = ["Graph", "graph_folder", "is_unfit", "mark_unfit"]

logger = logging.getLogger(__name__)

_LAYOUT = "1"  # another one is another folder, so that two versions can share a cache
_UNFIT = "unfit.txt"


@dataclass(frozen=True)
class Graph:
    """The graph's file, its tokeniser, and the model's vectors of the probes: float32, in order."""

    file: Path
    tokeniser: Tokeniser
    probes: list[str]
    reference: NDArray[np.float32]

    @classmethod
    def load(cls, folder: Path) -> Self | None:
        """Read a folder that `save` made; `None` when there is none or it is damaged."""
        try:
            about = json.loads((folder / "about.json").read_text(encoding="utf-8"))
            return cls(
                folder / "graph.xml",
                Tokeniser.load(folder / "tokenizer.json", about["pad_id"]),
                about["probes"],
                np.load(folder / "probes.npy", allow_pickle=False),
            )
        except FileNotFoundError:
            return None
        # A damaged cache is no cache: each library has its own error for what it cannot read.
        except Exception as error:  # noqa: BLE001
            logger.warning("The exported model in %s cannot be read: %s", folder, error)
            return None

    @staticmethod
    def save(
        folder: Path,
        write_graph: Callable[[Path], object],
        tokeniser: Tokeniser,
        probes: list[str],
        reference: NDArray[np.float32],
    ) -> None:
        """Write all of it and put it in place in one step; the last of two that do so stays.

        Raises `OSError` when the folder cannot be written.
        """
        folder.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(dir=folder.parent))
        try:
            write_graph(made / "graph.xml")
            tokeniser.save(made / "tokenizer.json")
            np.save(made / "probes.npy", reference)
            about = json.dumps({"pad_id": tokeniser.pad_id, "probes": probes}, ensure_ascii=False)
            (made / "about.json").write_text(about, encoding="utf-8")
            shutil.rmtree(folder, ignore_errors=True)
            os.rename(made, folder)
        finally:
            shutil.rmtree(made, ignore_errors=True)


def graph_folder(space: str) -> Path:
    """Return where the graph of a vector space is or would be, for this user of this machine."""
    return (
        user_cache_path("semilayer")
        / "graphs"
        / f"{_LAYOUT}-{xxhash.xxh3_128_hexdigest(space.encode())}"
    )


def mark_unfit(folder: Path, exporter: str) -> None:
    """Note that what this exporter makes of the model does not give its vectors.

    Otherwise every process would find out anew, which takes seconds.
    """
    # Where nothing can be kept, every process has to.
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / _UNFIT).write_text(exporter)


def is_unfit(folder: Path, exporter: str) -> bool:
    """Say whether `mark_unfit` noted so of this very exporter; a newer one may do better."""
    try:
        return (folder / _UNFIT).read_text() == exporter
    except OSError:
        return False
