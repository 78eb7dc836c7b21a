"""`semilayer explain`: one row, from its source to its vector."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from semilayer_pipelines.cli.context import Here, env_option, json_option, say, say_json
from semilayer_pipelines.errors import NotFound

__all__ = ["explain"]

SHOWN_CHARACTERS = 400


@click.command()
@click.argument("lens")
@click.argument("id")
@env_option
@json_option
@click.pass_obj
def explain(here: Here, lens: str, id: str, env: str, as_json: bool) -> None:
    """Show the row ID of LENS as it is, as it is indexed, and why.

    Shows the row in the source, its mapped form, its text and what the model reads of that text.
    Shows both hashes, when and by which job it was indexed, and changes that wait. If the row was
    set aside, it says why.
    """
    from semilayer_pipelines.queries.explain import Explanation
    from semilayer_pipelines.queries.explain import explain as explain_row

    told: Explanation = explain_row(here.project, env, lens, id)
    if told.row is None and told.indexed is None and not told.pending and not told.failed:
        raise NotFound(
            f"There is no row {id!r} in its table{_because(told.fault)}, and none in its index.",
            cure="Give the key as text; of several columns, a JSON array of texts.",
            lens=lens,
        )
    if as_json:
        say_json(_as_json(told))
        return
    say(f"{lens} {id}: {told.verdict}")
    _say_values("source row", told.row)
    if told.fault:
        say(f"\nfault        {told.fault}")
    if told.mapped:
        _say_values("mapped", told.mapped.fields)
        text = told.mapped.text
        cut_here = " …" if len(text) > SHOWN_CHARACTERS else ""
        say(f"\ntext ({len(text):,} characters)\n{text[:SHOWN_CHARACTERS]}{cut_here}\n")
    if told.embedding:
        say(f"model        {_model(told.embedding)}")
    _say_hash("row hash", told, "row_hash")
    _say_hash("text hash", told, "text_hash")
    if told.indexed:
        by = f" by job {told.indexed.job_id[:8]}" if told.indexed.job_id else ", its log is gone"
        say(
            f"indexed      {told.indexed.at:%Y-%m-%d %H:%M:%S} UTC{by}, in generation "
            f"{told.indexed.generation}, shard {told.indexed.shard}"
        )
    for change in told.pending:
        say(f"pending      {change.action.value}, number {change.seq} of the buffer")
    if told.failed:
        say(
            f"last error   {told.failed.reason} ({told.failed.stage}, {told.failed.attempts} times, "
            f"last {told.failed.last_at:%Y-%m-%d %H:%M:%S} UTC by job {told.failed.job_id[:8]})"
        )


def _because(fault: str | None) -> str:
    return f" (its id is {fault})" if fault else ""


def _model(embedding: Any) -> str:
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
        say(f"  {name:<{width}}  {shown[:SHOWN_CHARACTERS]}{more}")


def _say_hash(title: str, told: Any, name: str) -> None:
    now = getattr(told.mapped, name, None) or "none"
    indexed = getattr(told.indexed, name, None) or "none"
    same = f"{now}, and so it is indexed" if now == indexed else f"{now}, indexed {indexed}"
    say(f"{title:<12} {same}")


def _as_json(told: Any) -> dict[str, object]:
    mapped, indexed, embedding, failed = told.mapped, told.indexed, told.embedding, told.failed
    return {
        "lens": told.lens,
        "id": told.id,
        "verdict": told.verdict,
        "row": told.row,
        "fault": told.fault,
        "mapped": mapped
        and {
            "fields": mapped.fields,
            "text": mapped.text,
            "rowHash": mapped.row_hash,
            "textHash": mapped.text_hash,
        },
        "embedding": embedding
        and {
            "tokens": embedding.tokens,
            "cut": embedding.cut,
            "similarity": embedding.similarity,
            "error": embedding.error,
        },
        "indexed": indexed
        and {
            "fields": indexed.fields,
            "rowHash": indexed.row_hash,
            "textHash": indexed.text_hash,
            "at": indexed.at.isoformat(),
            "shard": indexed.shard,
            "generation": indexed.generation,
            "job": indexed.job_id,
            "objects": indexed.objects,
        },
        "pending": [{"seq": one.seq, "action": one.action.value} for one in told.pending],
        "failed": failed
        and {
            "stage": failed.stage,
            "reason": failed.reason,
            "attempts": failed.attempts,
            "firstAt": failed.first_at.isoformat(),
            "lastAt": failed.last_at.isoformat(),
            "job": failed.job_id,
        },
    }
