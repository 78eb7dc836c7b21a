"""`semilayer search`."""

from __future__ import annotations

import json
from dataclasses import asdict

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
from semilayer_pipelines.errors import ConfigError
from semilayer_pipelines.http.contract import MAX_RESULTS, SearchMode
from semilayer_pipelines.queries.search import Hit
from semilayer_pipelines.queries.search import search as search_lens

__all__ = ["search"]

SHOWN_CHARACTERS = 100


@click.command()
@click.argument("words", metavar="LENS TEXT", nargs=-1, required=True)
@click.option("--lens", help="The lens; LENS is left out then.")
@click.option(
    "--limit",
    default=5,
    show_default=True,
    type=click.IntRange(1, MAX_RESULTS),
    help="How many rows at most.",
)
@click.option(
    "--mode",
    type=click.Choice([mode.value for mode in SearchMode]),
    help="By meaning, by words, or both; hybrid where the lens has keywords, else semantic.",
)
@click.option(
    "--min-score", type=float, help="Leave out rows below this score, which depends on the mode."
)
@click.option("--where", help='Conditions on fields, as JSON: \'{"section": "web"}\'.')
@env_option
@json_option
@click.pass_obj
def search(
    here: Here,
    words: tuple[str, ...],
    lens: str | None,
    limit: int,
    mode: str | None,
    min_score: float | None,
    where: str | None,
    env: str,
    as_json: bool,
) -> None:
    """Find the rows of LENS that answer TEXT, by meaning and by words."""
    name, text = lens_and_words(words, lens, "LENS", "TEXT")
    hits = search_lens(
        here.project,
        name,
        text,
        env=env,
        limit=limit,
        where=_conditions(where),
        mode=mode,
        min_score=min_score,
    )
    if as_json:
        say_json([asdict(hit) for hit in hits])
        return
    for hit in hits:
        say_as_is(f"{hit.score:6.3f}  {hit.id}  {_summary(hit)}")
    if not hits:
        say("Nothing found.")


def _conditions(where: str | None) -> dict[str, object] | None:
    if where is None:
        return None
    try:
        conditions = json.loads(where)
    except ValueError as error:
        raise ConfigError(f"--where is not JSON: {error}") from None
    if not isinstance(conditions, dict):
        raise ConfigError('--where takes a JSON object, such as {"section": "web"}')
    return conditions


def _summary(hit: Hit) -> str:
    chunk = hit.chunk
    texts = [
        chunk.text if chunk and chunk.field == name else value
        for name, value in hit.fields.items()
        if isinstance(value, str) and value != hit.id
    ]
    line = " · ".join(texts).replace("\n", " ")
    return line if len(line) <= SHOWN_CHARACTERS else line[: SHOWN_CHARACTERS - 1] + "…"
