"""How a model reads a text, known from its files: its tokenizer and its limit. No torch.

An exported model brings the tokenizer that was checked against the model's own. Without one it is
read from the files that the model came with, by the rule of sentence-transformers.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from semilayer_pipelines.embedders.local.graph import graph_folder
from semilayer_pipelines.embedders.local.model_files import (
    fetch,
    is_known,
    model_file,
    model_json,
    parsed,
)
from semilayer_pipelines.embedders.local.model_source import ModelSource, vector_space
from semilayer_pipelines.embedders.local.own_prompts import FILE, own_prompts
from semilayer_pipelines.embedders.prompts import OwnPrompts
from semilayer_pipelines.embedders.reading import Reading, Told
from semilayer_pipelines.errors import ModelUnavailable, ReadingUnknown

__all__ = ["fetch_reading", "reading_here"]

_KEPT = 4  # tokenizers of a process; one has a few megabytes
_NO_LIMIT = 1_000_000  # the library's own "no limit" is 10^30
_MODULES = "modules.json"
_TOKENIZER = "tokenizer.json"
_KINDS = ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
_SAYS_LIMIT = [f"sentence_{kind}_config.json" for kind in _KINDS]
"""Files in which the library looks for a limit; the first one that is there counts."""


def reading_here(source: ModelSource) -> Told | None:
    """Return how a model reads; `None` while not all that tells it is on this machine.

    Raises `ModelUnavailable` for a file that cannot be read.
    """
    exported = graph_folder(vector_space(source)) / _TOKENIZER
    if exported.is_file():
        tokenizer, cut_to = _read(exported)
        return _told(source, tokenizer, cut_to)
    if not is_known(source, _MODULES):
        return None  # another program may have fetched some of the others
    folder = _transformer(source)
    if folder is None:
        return Told(None)
    names = _tokenizers(folder)
    file = next(filter(None, (model_file(source, name) for name in names)), None)
    if file is None:
        return Told(None) if all(is_known(source, name) for name in names) else None
    return _told(source, _read(file)[0], _limit(source, folder))


def fetch_reading(source: ModelSource) -> Told:
    """Return how a model of the hub reads, asking there.

    Raises `ReadingUnknown` when the hub does not have the model, or cannot be asked.
    """
    try:
        fetch(source, _MODULES, FILE)
        folder = _transformer(source)
        if folder is not None:
            names = ("config.json", "tokenizer_config.json", *_SAYS_LIMIT)
            # The tokenizer is the last one: with it, all that there is of the others is here.
            fetch(source, *(f"{folder}{name}" for name in names))
            fetch(source, *_tokenizers(folder))
    except ModelUnavailable as error:
        raise _unknown(source, error.message) from error
    told = reading_here(source)
    if told is None:
        raise _unknown(source, "it cannot be reached, and not all files are here.")
    return told


def _unknown(source: ModelSource, why: str) -> ReadingUnknown:
    return ReadingUnknown(
        f"How {source.location} reads texts is not known on this machine, and the hub does not "
        f"tell: {why}",
        cure="Name an embedder of this version that serves the model as SEMILAYER_EMBEDDER_URL, "
        "let this machine reach the hub once, or set 'chunking: off'.",
    )


def _tokenizers(folder: str) -> list[str]:
    """Return where the tokenizer may be; the first one that is there counts."""
    return list(dict.fromkeys([f"{folder}{_TOKENIZER}", _TOKENIZER]))


def _transformer(source: ModelSource) -> str | None:
    """Return the folder of the module that reads texts, ending in a slash if it has a name."""
    modules = parsed(source, _MODULES) or [{"path": "", "type": "Transformer"}]
    if not str(modules[0]["type"]).endswith("Transformer"):
        return None
    path = str(modules[0]["path"])
    return f"{path}/" if path else ""


def _limit(source: ModelSource, folder: str) -> int | None:
    """Return the limit as the library finds it: one that is said, else the least of two others."""
    files = (model_json(source, f"{folder}{name}") for name in _SAYS_LIMIT)
    config = next((said for said in files if said), {})
    settings = config.get("tokenizer_args", {}) | config.get("processor_kwargs", {})
    said = settings.get("model_max_length") or config.get("max_seq_length")
    if said is None:
        of_tokenizer = model_json(source, f"{folder}tokenizer_config.json").get("model_max_length")
        positions = model_json(source, f"{folder}config.json").get("max_position_embeddings")
        known = [int(n) for n in (of_tokenizer, positions) if n is not None and n > 0]
        said = min(known, default=_NO_LIMIT)
    return int(said) if said < _NO_LIMIT else None


def _read(file: Path) -> tuple[Tokenizer, int | None]:
    """Return a tokenizer that cuts and pads nothing, and to how many tokens its file cuts."""
    about = file.stat()
    return _read_once(file, about.st_mtime_ns, about.st_size)


@lru_cache(maxsize=_KEPT)
def _read_once(file: Path, _changed: int, _bytes: int) -> tuple[Tokenizer, int | None]:
    # All lenses with a model have one tokenizer, and so one counter: making both takes 0.04 s.
    try:
        tokenizer = Tokenizer.from_file(str(file))
    # The library has no exception of its own for what it cannot read.
    except Exception as error:
        raise ModelUnavailable(
            f"{file} cannot be read: {error}.", cure="Fetch the model's files again."
        ) from error
    cut: dict[str, Any] | None = tokenizer.truncation
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer, None if cut is None else int(cut["max_length"])


def _told(source: ModelSource, tokenizer: Tokenizer, limit: int | None) -> Told:
    if limit is None:
        return Told(None)
    plain = (own_prompts(source) or OwnPrompts()).plain
    return Told(Reading.of(tokenizer, limit, plain))
