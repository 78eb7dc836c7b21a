"""How fast long texts are cut, and how many chunks an edit changes.

Times are those that one thread spends on a processor: other work on the machine counts little.
The peer, semantic-text-splitter, is measured where it is installed.
"""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable
from dataclasses import replace

import polars as pl
from tokenizers import Tokenizer

from benchmarks.long_texts import documents
from benchmarks.result import Measured, Result, Wanted, measured
from semilayer_pipelines.chunking.count import Exact, Words
from semilayer_pipelines.chunking.split import Splitter, splitter
from semilayer_pipelines.config.embedding import EmbeddingConfig
from semilayer_pipelines.config.models import LensConfig
from semilayer_pipelines.embedders import BuiltWith, open_embedder
from semilayer_pipelines.mapping.plan import TEXT

__all__ = ["run"]

_LENS = {
    "source": "main",
    "table": "pages",
    "fields": {name: {"type": "text", "searchable": True} for name in ("name", "body")},
}
_REPETITIONS = 3
_SLOW_PAGES = 40  # for what makes a few megabytes a second, or less
_PEER_PAGES = 10
_EDITED_CHUNKS = 100
_SENTENCE = "This sentence was put in front, and nobody has read it before. "
_PEER = "semantic_text_splitter"


def run() -> list[Result]:
    pages = documents()
    rows = pages.with_columns(pl.concat_str("name", "body", separator="\n").alias(TEXT))
    cut = _splitter()
    few = rows[:_SLOW_PAGES]
    texts = few[TEXT].to_list()
    tokenizer = _tokenizer()
    speed = _speed(rows, lambda: cut.split(rows))
    tokens = _speed(few, lambda: tokenizer.encode_batch_fast(texts, add_special_tokens=False))
    slow = _speed(few, lambda: _by_words(cut, tokenizer).split(few))
    changed = _changed(cut, rows)
    least = 0.8 * tokens.median
    results = [
        Result("cutting", "MB/s a core", speed, Wanted.AT_LEAST, 5),
        Result("without nanotoken", "MB/s a core", slow, Wanted.AT_LEAST, least, tokens.median),
        Result("chunks that a sentence in front changes", "", changed),
        Result("  at most", "", measured([changed.high]), Wanted.AT_MOST, 3),
    ]
    if importlib.util.find_spec(_PEER):
        peer = _peer(few)
        wanted = 20 * peer.median
        name = "cutting, beside semantic-text-splitter"
        results.append(
            Result(name, "MB/s a core", speed, Wanted.AT_LEAST, wanted, peer.median),
        )
    return results


def _splitter() -> Splitter:
    lens = LensConfig.model_validate(_LENS)
    found = splitter(lens, open_embedder(lens.embedding, environ={}), BuiltWith(None))
    assert found is not None
    return found


def _by_words(cut: Splitter, tokenizer: Tokenizer) -> Splitter:
    """Return what cuts without nanotoken. No word is known yet, as when a run starts."""
    counter = Exact(tokenizer, Words(tokenizer))
    return replace(cut, limits=replace(cut.limits, counter=counter))


def _tokenizer() -> Tokenizer:
    reading = open_embedder(EmbeddingConfig(), environ={}).reading()
    assert reading is not None
    return reading.tokenizer


def _speed(rows: pl.DataFrame, work: Callable[[], object]) -> Measured:
    """Return the megabytes of text for each second that this process spends on a processor."""
    megabytes = int(rows[TEXT].str.len_bytes().sum()) / 1e6
    speeds = []
    for _ in range(_REPETITIONS):
        started = time.process_time()
        work()
        speeds.append(megabytes / (time.process_time() - started))
    return measured(speeds)


def _changed(cut: Splitter, rows: pl.DataFrame) -> Measured:
    """Put a sentence in front of texts of a hundred chunks; return how many chunks are new."""
    bodies = rows["body"].to_list()
    texts: list[str] = []
    for start in range(0, len(bodies), 8):
        texts.append("\n\n".join(bodies[start : start + 8]))
    new: list[float] = []
    for text in texts:
        before = set(_cut(cut, text))
        if len(before) < _EDITED_CHUNKS:
            continue
        for length in range(20, len(_SENTENCE), 10):
            new.append(sum(one not in before for one in _cut(cut, f"{_SENTENCE[:length]}. {text}")))
    return measured(new)


def _cut(cut: Splitter, body: str) -> list[str]:
    rows = pl.DataFrame({"name": ["page"], "body": [body], TEXT: [f"page\n{body}"]})
    return cut.split(rows)[TEXT].to_list()


def _peer(rows: pl.DataFrame) -> Measured:
    from semantic_text_splitter import TextSplitter

    theirs = TextSplitter.from_huggingface_tokenizer(_tokenizer(), 254)
    few = rows[:_PEER_PAGES]
    return _speed(few, lambda: [theirs.chunks(text) for text in few[TEXT]])
