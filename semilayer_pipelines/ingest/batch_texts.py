"""The texts that a provider is to embed in its own time: those of the next key range of a shard.

The rows go the way that they go when they are written, up to where the embedder is asked. There
the texts are put into a file instead, a line each.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from tempfile import TemporaryFile
from typing import IO

import polars as pl

from semilayer_pipelines.bridges.protocol import Window
from semilayer_pipelines.embedders.batch_api import BatchApi, text_id
from semilayer_pipelines.embedders.batches import FIRST_BYTES_A_TOKEN
from semilayer_pipelines.embedders.cancellation import Cancellation
from semilayer_pipelines.embedders.checks import check_texts
from semilayer_pipelines.errors import EmbeddingRejected
from semilayer_pipelines.ingest.apply_page import begin_page, compare_page
from semilayer_pipelines.ingest.embed_aside import Embedding
from semilayer_pipelines.ingest.fill_shard import active_index
from semilayer_pipelines.ingest.known_rows import KnownRows
from semilayer_pipelines.ingest.open_lens import OpenLens
from semilayer_pipelines.ingest.page import Cover, Page
from semilayer_pipelines.ingest.page_size import PageSize
from semilayer_pipelines.ingest.run_state import Run
from semilayer_pipelines.ingest.target import Target
from semilayer_pipelines.ingest.walk import walk
from semilayer_pipelines.mapping.mapped import Mapped
from semilayer_pipelines.registry.generations import Generation
from semilayer_pipelines.stores.chunks.protocol import RowIndex

__all__ = ["MAX_FILE_BYTES", "MAX_FILE_TEXTS", "MAX_FILE_TOKENS", "TextFile", "text_file"]

MAX_FILE_TEXTS = 50_000
"""Texts of one batch at most: OpenAI takes no more."""

MAX_FILE_TOKENS = 2_500_000
"""Tokens of one batch at most, estimated by bytes: fewer than OpenAI lets a small account queue."""

MAX_FILE_BYTES = 100_000_000
"""Bytes of one batch's file at most: OpenAI takes 200 MB, and took half of it before."""


@dataclass
class TextFile:
    """Lines for distinct texts, of rows from a cursor up to the key `upto`.

    `upto` is `None` where the file has all texts up to the end of the shard. `ended` says that the
    walk came to where it was to end, and was not paused before.
    """

    lines: IO[bytes]
    api: BatchApi
    upto: str | None = None
    ended: bool = False
    bytes: int = 0
    tokens: int = 0
    seen: set[str] = field(default_factory=set)

    @property
    def texts(self) -> int:
        """How many texts it has."""
        return len(self.seen)

    def take(self, texts: Sequence[str], *, partly: bool) -> bool:
        """Take the texts of a page, or none of them where there is no room for all; say which.

        `partly`: an empty file takes what it has room for.
        """
        new = {text_id(text): text for text in texts if _sendable(text)}
        lines = [
            (ours, self.api.line(text), _tokens(text))
            for ours, text in new.items()
            if ours not in self.seen
        ]
        size, tokens = sum(len(line) for _, line, _ in lines), sum(n for *_, n in lines)
        if not (partly and not self.texts) and not self._fit(len(lines), size, tokens):
            return False
        for ours, line, tokens in lines:
            if not self._fit(1, len(line), tokens):
                break
            self.lines.write(line)
            self.seen.add(ours)
            self.bytes += len(line)
            self.tokens += tokens
        return True

    def _fit(self, texts: int, size: int, tokens: int) -> bool:
        return (
            self.texts + texts <= MAX_FILE_TEXTS
            and self.bytes + size <= MAX_FILE_BYTES
            and self.tokens + tokens <= MAX_FILE_TOKENS
        )


@contextmanager
def text_file(
    opened: OpenLens, run: Run, generation: Generation, shard: int, window: Window, api: BatchApi
) -> Iterator[TextFile]:
    """Give the file of the next batch: as many texts of the window as fit into one.

    Texts whose vectors the index in use has are not among them. Raises what walk and mapping raise.
    """
    target = Target(opened, generation)
    choice = _NewRows(active_index(opened))
    opened.walks.mkdir(parents=True, exist_ok=True)
    with TemporaryFile(dir=opened.walks) as lines:
        file = TextFile(lines, api)
        # Pages of the first size, so that one page is a small part of a batch.
        page_size = PageSize()
        before: str | None = None
        pages = walk(opened, window, shard, page_size)
        while not run.paused():
            page = next(pages, None)
            if page is None:
                file.ended = True
                break
            asked = _Asked()
            begin_page(opened, target, compare_page(opened, target, page, choice), choice, asked)
            if file.take(asked.texts, partly=page.rows.height <= 1):
                before = page.cursor
            elif file.texts:
                file.upto, file.ended = before, True
                break
            else:
                # Long texts: the same rows again, in smaller pages.
                page_size.rows = max(1, page.rows.height // 2)
                pages = walk(
                    opened, replace(window, after=before or window.after), shard, page_size
                )
        yield file


@dataclass
class _Asked:
    """In the place of the embedder: notes what is asked of it. Nobody waits for these vectors."""

    texts: Sequence[str] = ()

    def __call__(self, texts: Sequence[str], *, pages: int = 1) -> Embedding:
        self.texts = texts
        return Embedding(Future(), Cancellation())


class _NewRows:
    """Every row, into an index that has none of them."""

    cover: Cover | None = None

    def __init__(self, reuse: RowIndex | None) -> None:
        self._reuse = reuse
        self._nothing = KnownRows(())

    def compare(self, page: Page, mapped: Mapped) -> pl.Series:
        return self._nothing.compare(mapped.frame)

    def may_hold(self, keys: pl.Series) -> pl.Series:
        return self._nothing.holds(keys)

    def take_out(self, keys: Sequence[str]) -> Sequence[str]:
        return ()

    def reuse_from(self) -> RowIndex | None:
        return self._reuse


def _tokens(text: str) -> int:
    return int(len(text.encode()) / FIRST_BYTES_A_TOKEN) + 1


def _sendable(text: str) -> bool:
    try:
        check_texts([text])
    except EmbeddingRejected:
        return False  # the provider would refuse the whole file
    return True
