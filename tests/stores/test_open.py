from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from semilayer_pipelines.errors import ConfigError
from semilayer_pipelines.stores import open_store


def test_an_unknown_store_is_refused_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"'lancedbb' \(did you mean 'lancedb'.*Stores: lancedb"):
        open_store("lancedbb", tmp_path, "development")


def test_opening_a_store_writes_nothing(tmp_path: Path) -> None:
    store = open_store("lancedb", tmp_path / "lance", "development")
    assert store.names() == []
    store.drop("never-made")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["", "a b", "../up", "a/b", "a.lance", "ü"])
def test_a_name_cannot_lead_out_of_the_store(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="cannot name"):
        open_store("lancedb", tmp_path, name)
    store = open_store("lancedb", tmp_path, "development")
    for verb in (store.exists, store.find, store.open, store.drop):
        with pytest.raises(ValueError, match="cannot name"):
            verb(name)


def test_importing_the_stores_loads_none_of_them() -> None:
    heavy = "{'lancedb', 'pyarrow', 'polars', 'weaviate', 'torch', 'dagster'}"
    code = f"import sys, semilayer_pipelines.stores; print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
