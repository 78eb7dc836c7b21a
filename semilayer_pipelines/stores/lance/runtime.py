"""What is used of LanceDB, imported quietly, with little memory and without what nothing needs.

Everything here takes LanceDB from this module, and only once an index is opened: importing it takes
longer than the rest of most commands.
"""

from __future__ import annotations

import os

from semilayer_pipelines.quick_imports import later, without_collector
from semilayer_pipelines.stores.lance.importing import (
    without_override_checks,
    without_unused_parts,
)
from semilayer_pipelines.stores.lance.memory import spare_lance_memory

# Lance writes its own log to stderr, warnings about our own calls included; it reads this once, at
# import.
os.environ.setdefault("LANCEDB_LOG", "error")
spare_lance_memory()
with (
    without_collector(),
    without_override_checks(),
    without_unused_parts(),
    later("pyarrow.dataset"),
):
    from lancedb import connect
    from lancedb.index import FTS, BTree, IvfRq, IvfSq
    from lancedb.query import MatchQuery

__all__ = ["FTS", "BTree", "IvfRq", "IvfSq", "MatchQuery", "connect"]
