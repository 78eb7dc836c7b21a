"""A CDC worker fits anywhere: the client needs httpx and the standard library."""

import json
import subprocess
import sys

LOOK = """
import importlib.metadata as metadata, json, sys
before = set(sys.modules)
import semilayer_pipelines.client
print(json.dumps(sorted({name.partition(".")[0] for name in set(sys.modules) - before})))
"""
HTTPX = {"httpx", "httpcore", "h11", "anyio", "certifi", "idna", "sniffio", "typing_extensions"}
OPTIONAL = {"h2", "hpack", "hyperframe", "socksio", "click", "rich", "pygments", "markdown_it"}
OPTIONAL |= {"brotli", "brotlicffi", "zstandard", "backports", "mdurl", "_brotli"}


def test_importing_the_client_loads_httpx_and_the_standard_library_alone() -> None:
    done = subprocess.run([sys.executable, "-c", LOOK], capture_output=True, text=True, check=True)
    loaded = {name for name in json.loads(done.stdout) if not name.startswith("_")}
    foreign = loaded - set(sys.stdlib_module_names) - HTTPX - OPTIONAL
    assert foreign == {"semilayer_pipelines"}
