"""The webhook is up at once, because it loads nothing that a call may never need."""

import subprocess
import sys


def test_starting_loads_no_dagster_no_model_and_no_store() -> None:
    heavy = {"dagster", "torch", "lancedb", "weaviate", "pyarrow", "polars", "numpy"}
    heavy |= {"prometheus_client"}
    code = f"import sys, webhook.serve; print({heavy!r} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
