"""docs/settings.md names every environment variable that the code reads, and no other."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VARIABLE = re.compile(
    r"(?:SEMILAYER|WEAVIATE|DAGSTER|LANCE|LANCEDB|SENTENCE_TRANSFORMERS|DATABASE|SSL)_[A-Z_]*[A-Z]"
)


def in_code() -> set[str]:
    """Return what stands as a whole text in the code, or as a variable in a YAML file."""
    found: set[str] = set()
    for folder in ("semilayer_pipelines", "webhook", "examples"):
        for file in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    found |= {node.value} if VARIABLE.fullmatch(node.value) else set()
    for file in (ROOT / "dagster.yaml", *(ROOT / "deploy").glob("*.yaml")):
        found |= set(re.findall(rf"env: ({VARIABLE.pattern})", file.read_text(encoding="utf-8")))
    return found


def on_the_page() -> set[str]:
    page = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1] for line in page.splitlines() if line.startswith("| `")]
    return {name for row in rows for name in re.findall(r"`([A-Z_]+)`", row)}


def test_every_variable_that_is_read_stands_on_the_page_and_no_other() -> None:
    assert in_code() == on_the_page()


def test_variables_are_found_at_all() -> None:
    assert {"SEMILAYER_CONFIG", "SEMILAYER_HOME", "WEAVIATE_URL", "DATABASE_URL"} <= in_code()
