"""The reference page is made from the models, and the committed one is current."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import BaseModel
from ruamel.yaml import YAML

from semilayer_pipelines.config.alerts import AlertConfig
from semilayer_pipelines.config.embedding import EmbeddingConfig
from semilayer_pipelines.config.fields import FieldConfig
from semilayer_pipelines.config.models import LensConfig, ProjectConfig, SourceConfig
from semilayer_pipelines.config.reference import EXAMPLES, reference

ROOT = Path(__file__).parents[2]


def test_the_committed_reference_is_current() -> None:
    committed = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")

    assert committed == reference(), "run: python -m semilayer_pipelines.config.reference"


@pytest.mark.parametrize(
    ("section", "model"),
    [
        ("project", ProjectConfig),
        ("source", SourceConfig),
        ("alerts", AlertConfig),
        ("lens", LensConfig),
        ("embedding", EmbeddingConfig),
        ("field", FieldConfig),
    ],
)
def test_every_example_of_the_reference_is_valid(section: str, model: type[BaseModel]) -> None:
    values = YAML(typ="safe", pure=True).load(EXAMPLES[section])

    assert model.model_validate(values).model_fields_set


def test_every_key_of_every_model_is_explained() -> None:
    page = reference()
    rows = re.findall(r"^\| `(\w+)` \|.*\| (.*) \|$", page, flags=re.MULTILINE)

    unexplained = [name for name, meaning in rows if not meaning.strip()]

    assert unexplained == []
    for model in (ProjectConfig, SourceConfig, LensConfig, FieldConfig, EmbeddingConfig):
        for name, field in model.model_fields.items():
            assert f"| `{field.alias or name}` |" in page
