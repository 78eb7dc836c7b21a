"""The prompts that a sentence-transformers model brings, read from its files without the library.

They are taken as the library's `encode_query` and `encode_document` take them. Which keys those use
is the library's affair: a prompt that only `encode(prompt_name=...)` can name is not used.
"""

from __future__ import annotations

from typing import Any

from semilayer_pipelines.embedders.local.model_files import hub_cache, is_here, model_json
from semilayer_pipelines.embedders.local.model_source import ModelSource
from semilayer_pipelines.embedders.prompts import OwnPrompts

__all__ = ["fetch_own_prompts", "own_prompts"]

_FILE = "config_sentence_transformers.json"


def own_prompts(source: ModelSource) -> OwnPrompts | None:
    """Return the model's prompts, `None` when its files are not on this machine.

    Raises `ModelUnavailable` for a file that cannot be read. No network.
    """
    said = model_json(source, _FILE)
    return _of(said) if said or is_here(source) else None


def fetch_own_prompts(source: ModelSource) -> OwnPrompts:
    """Return the prompts of a model on the hub, asking there.

    Raises `ModelUnavailable` when the hub does not have the model, or cannot be asked.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError

    from semilayer_pipelines.embedders.local.load_model import hub_has, unavailable

    if hub_has(source):
        try:
            hf_hub_download(source.location, _FILE, revision=source.revision, cache_dir=hub_cache())
        except EntryNotFoundError:
            return OwnPrompts()
        # The hub's library raises what its own libraries do.
        except Exception as error:
            raise unavailable(source, error) from error
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
