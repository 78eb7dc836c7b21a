"""What importing the embedded store leaves out, and that nothing misses it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.stores.conftest import ROOT

WORK = """
import sys
from pathlib import Path
from semilayer_pipelines.quick_imports import this_is_a_command
this_is_a_command()
from semilayer_pipelines.stores.lance.store import LanceStore
from tests.stores.objects import ONE_FIELD, names, objects

index = LanceStore(Path(sys.argv[1]), "development").create("lens-g1", ONE_FIELD)
with index.lock():
    index.upsert(objects(names(3), title="one"))
index.maintain(force=True)
assert index.count() == 3
assert len(index.search([0.1] * index.dimension, limit=2)) == 2
unused = ("overrides", "lance_namespace_urllib3_client", "lancedb.functions",
          "lancedb.embeddings.openai", "lancedb.embeddings.transformers")
print([name for name, module in sys.modules.items()
       if name.startswith(unused) and getattr(module, "__file__", None)])
"""
AFTER = """
import gc, semilayer_pipelines.stores.lance.runtime
from overrides import EnforceOverrides, override

class Base(EnforceOverrides):
    def told(self, one): ...

assert gc.isenabled()
try:
    class Wrong(Base):
        @override
        def told(self): ...
except TypeError:
    print("checked")
"""


def test_a_fresh_process_writes_and_searches_without_what_nobody_needs(
    tmp_path: Path,
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WORK, tmp_path],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.stdout.strip() == "[]", done.stderr


def test_others_find_the_collector_and_the_override_checks_as_they_are() -> None:
    done = subprocess.run(
        [sys.executable, "-c", AFTER], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert done.stdout.strip() == "checked", done.stderr


FROZEN = """
import gc
from semilayer_pipelines.quick_imports import without_collector

with without_collector():
    import wave
imported = gc.get_freeze_count()
with without_collector():
    import wave
assert gc.isenabled()
print(imported > 0, gc.get_freeze_count() == imported)
"""


def test_what_was_imported_is_never_looked_through_for_garbage_and_nothing_else_is_spared() -> None:
    done = subprocess.run(
        [sys.executable, "-c", FROZEN], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert done.stdout.split() == ["True", "True"], done.stderr


def test_a_program_that_uses_us_has_all_of_lancedb() -> None:
    program = """
import semilayer_pipelines.stores.lance.runtime
from lancedb.embeddings import OpenAIEmbeddings, get_registry
assert get_registry().get("openai") is OpenAIEmbeddings
print(OpenAIEmbeddings.create.__name__)
"""

    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert done.stdout.strip() == "create", done.stderr
