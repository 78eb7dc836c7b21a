"""The prompts that a sentence-transformers model brings, read from its files without the library.

They are taken as the library's `encode_query` and `encode_document` take them. Which keys those use
is the library's affair: a prompt that only `encode(prompt_name=...)` can name is not used.
"""

from __future__ import annotations

from typing import Any

from semilayer_pipelines.embedders.local.model_files import fetch, is_here, model_json
from semilayer_pipelines.embedders.local.model_source import ModelSource
from semilayer_pipelines.embedders.prompts import OwnPrompts

__all__ = ["FILE", "fetch_own_prompts", "own_prompts"]

FILE = "config_sentence_transformers.json"


def own_prompts(source: ModelSource) -> OwnPrompts | None:
    """Return the model's prompts, `None` when its files are not on this machine.

    Raises `ModelUnavailable` for a file that cannot be read. No network.
    """
    said = model_json(source, FILE)
    return _of(said) if said or is_here(source) else None


def fetch_own_prompts(source: ModelSource) -> OwnPrompts:
    """Return the prompts of a model on the hub, asking there.

    Raises `ModelUnavailable` when the hub does not have the model, or cannot be asked.
    """
    fetch(source, FILE)
    return own_prompts(source) or OwnPrompts()


def _of(said: dict[str, Any]) -> OwnPrompts:
    named = said.get("prompts")
    prompts = {n: t for n, t in named.items() if isinstance(t, str)} if named else {}
    default = said.get("default_prompt_name")
    return OwnPrompts(
        query=prompts.get("query", ""),
        passage=prompts.get("document", ""),
        plain=prompts.get(default, "") if default else "",
    )
