"""`semilayer explain`: one row, from its source to its vector."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from semilayer_pipelines.cli.context import (
    Here,
    env_option,
    json_option,
    say,
    say_as_is,
    say_json,
)
from semilayer_pipelines.cli.lens_selection import lens_and_words
from semilayer_pipelines.counts import utc_text
from semilayer_pipelines.errors import NotFound

if TYPE_CHECKING:
    from semilayer_pipelines.queries.explain import (
        Explanation,
        FreshVector,
        Indexed,
        MappedRow,
        RowChunk,
    )
    from semilayer_pipelines.registry.failed_rows import FailedRow

__all__ = ["explain", "explanation_json", "require_found"]

SHOWN_CHARACTERS = 400
SHOWN_CHUNKS = 20


@click.command()
@click.argument("words", metavar="LENS ID", nargs=-1, required=True)
@click.option("--lens", help="The lens; LENS is left out then.")
@env_option
@json_option
@click.pass_obj
def explain(here: Here, words: tuple[str, ...], lens: str | None, env: str, as_json: bool) -> None:
    """Show the row ID of LENS as it is, as it is indexed, and why.

    Shows the row in the source, its mapped form, its text and what the model reads of that text.
    Shows both hashes, when and by which job it was indexed, and changes that wait. If the row was
    set aside, it says why.
    """
    lens, id = lens_and_words(words, lens, "LENS", "ID")
    # Here, because it loads a bridge, a store and a model.
    from semilayer_pipelines.queries.explain import explain as explain_row

    told = explain_row(here.project, env, lens, id)
    require_found(told, id)
    if as_json:
        say_json(explanation_json(told))
        return
    _show(told)


def require_found(told: Explanation, id: str) -> None:
    """Raise `NotFound` for a row of which nothing is known anywhere."""
    if told.row is None and told.indexed is None and not told.pending and not told.failed:
        raise NotFound(
            f"There is no row {id!r} in its table{_because(told.fault)}, and none in its index.",
            cure="Give the key as text; of several columns, a JSON array of texts.",
            lens=told.lens,
        )


def _show(told: Explanation) -> None:
    say(f"{told.lens} {told.id}: {told.verdict}")
    if told.key != told.id:
        say(f"\nkey          {told.key}")
    _say_values("source row", told.row)
    if told.fault:
        say(f"\nfault        {told.fault}")
    if told.mapped:
        _say_values("mapped", told.mapped.fields)
        text = told.mapped.text
        cut_here = " …" if len(text) > SHOWN_CHARACTERS else ""
        say_as_is(f"\ntext ({len(text):,} characters)\n{text[:SHOWN_CHARACTERS]}{cut_here}\n")
    if told.embedding:
        say(f"model        {_model(told.embedding)}")
    _say_chunks(told.chunks)
    mapped, indexed, failed = told.mapped, told.indexed, told.failed
    _say_hash(
        "row hash", mapped.row_hash if mapped else None, indexed.row_hash if indexed else None
    )
    _say_hash(
        "text hash", mapped.text_hash if mapped else None, indexed.text_hash if indexed else None
    )
    if indexed:
        by = f" by job {indexed.job_id[:8]}" if indexed.job_id else ", its log is gone"
        say(
            f"indexed      {indexed.at:%Y-%m-%d %H:%M:%S} UTC{by}, in generation "
            f"{indexed.generation}, shard {indexed.shard}" + _found(indexed)
        )
    if indexed and indexed.words is not None:
        say(f"keywords     {_words(indexed.words)}")
    for change in told.pending:
        say(f"pending      {change.action.value}, number {change.seq} of the buffer")
    if failed:
        say(
            f"last error   {failed.reason} ({failed.stage}, {failed.attempts} times, last "
            f"{failed.last_at:%Y-%m-%d %H:%M:%S} UTC by job {failed.job_id[:8]})"
        )


def _say_chunks(chunks: Sequence[RowChunk]) -> None:
    if not chunks:
        return
    say(f"chunks       {len(chunks):,}; the model line tells of the first")
    for chunk in chunks[:SHOWN_CHUNKS]:
        tokens = "" if chunk.tokens is None else f", {chunk.tokens:,} tokens"
        lost = "" if chunk.held else ", not in the index"
        say(f"             {chunk.field} {chunk.start:,} to {chunk.end:,}{tokens}{lost}")
    if len(chunks) > SHOWN_CHUNKS:
        left = chunks[SHOWN_CHUNKS:]
        unheld = sum(not chunk.held for chunk in left)
        say(f"             and {len(left):,} more, {unheld:,} of them not in the index")


def _because(fault: str | None) -> str:
    return f" (its id is {fault})" if fault else ""


def _found(indexed: Indexed) -> str:
    if indexed.unreachable:
        return ", out of reach: no search finds it, nor did one when it was written again"
    if indexed.crowded:
        return ", hidden among rows of the same text"
    return ", hidden: no search finds it" if indexed.hidden else ""


def _words(words: Sequence[str]) -> str:
    shown = textwrap.shorten(" ".join(words), SHOWN_CHARACTERS, placeholder=" …")
    return f"{len(words):,}: {shown}" if words else "none: no search by keyword finds it"


def _model(embedding: FreshVector) -> str:
    if embedding.error:
        return f"cannot embed it: {embedding.error}"
    tokens = "does not say" if embedding.tokens is None else f"{embedding.tokens:,} tokens"
    cut = ", cut short: the rest is not in the vector" if embedding.cut else ", read whole"
    if embedding.tokens is None and not embedding.cut:
        cut = " how much it read"
    similar = embedding.similarity
    compared = "" if similar is None else f"; cosine to the indexed vector {similar:.4f}"
    return f"{tokens}{cut}{compared}"


def _say_values(title: str, values: Mapping[str, Any] | None) -> None:
    if values is None:
        say(f"\n{title}: none")
        return
    say(f"\n{title}")
    width = max(len(name) for name in values)
    for name, value in values.items():
        shown = str(value)
        more = " …" if len(shown) > SHOWN_CHARACTERS else ""
        say_as_is(f"  {name:<{width}}  {shown[:SHOWN_CHARACTERS]}{more}")


def _say_hash(title: str, now: str | None, indexed: str | None) -> None:
    same = now is not None and now == indexed
    told = "and so it is indexed" if same else f"indexed {indexed or 'none'}"
    say(f"{title:<12} {now or 'none'}, {told}")


def explanation_json(told: Explanation) -> dict[str, object]:
    """Return an explanation as it is printed with `--json`."""
    return {
        "lens": told.lens,
        "id": told.id,
        "key": told.key,
        "verdict": told.verdict,
        "row": told.row,
        "fault": told.fault,
        "outside": told.outside,
        "mapped": told.mapped and _mapped_json(told.mapped),
        "chunks": [_chunk_json(chunk) for chunk in told.chunks],
        "embedding": told.embedding and _embedding_json(told.embedding),
        "indexed": told.indexed and _indexed_json(told.indexed),
        "pending": [{"seq": one.seq, "action": one.action.value} for one in told.pending],
        "failed": told.failed and _failed_json(told.failed),
    }


def _mapped_json(mapped: MappedRow) -> dict[str, object]:
    return {
        "fields": mapped.fields,
        "text": mapped.text,
        "textless": mapped.textless,
        "rowHash": mapped.row_hash,
        "textHash": mapped.text_hash,
    }


def _chunk_json(chunk: RowChunk) -> dict[str, object]:
    return {
        "field": chunk.field,
        "start": chunk.start,
        "end": chunk.end,
        "text": chunk.text,
        "tokens": chunk.tokens,
        "held": chunk.held,
    }


def _embedding_json(embedding: FreshVector) -> dict[str, object]:
    return {
        "tokens": embedding.tokens,
        "cut": embedding.cut,
        "similarity": embedding.similarity,
        "error": embedding.error,
    }


def _indexed_json(indexed: Indexed) -> dict[str, object]:
    return {
        "fields": indexed.fields,
        "rowHash": indexed.row_hash,
        "textHash": indexed.text_hash,
        "at": utc_text(indexed.at),
        "shard": indexed.shard,
        "generation": indexed.generation,
        "job": indexed.job_id,
        "objects": indexed.objects,
        "hidden": indexed.hidden,
        "unreachable": indexed.unreachable,
        "crowded": indexed.crowded,
        "keywords": indexed.words,
    }


def _failed_json(failed: FailedRow) -> dict[str, object]:
    return {
        "stage": failed.stage,
        "reason": failed.reason,
        "attempts": failed.attempts,
        "firstAt": utc_text(failed.first_at),
        "lastAt": utc_text(failed.last_at),
        "job": failed.job_id,
    }
