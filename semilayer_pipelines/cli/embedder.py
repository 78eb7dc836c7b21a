"""`semilayer embedder`: one warm model for all runs, behind an OpenAI-compatible address."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from functools import partial
from ipaddress import ip_address
from typing import TYPE_CHECKING, Literal, get_args

import click

from semilayer_pipelines.cli.context import address_options, json_option, say, say_aside, say_json
from semilayer_pipelines.config.embedding import EmbeddingConfig, Precision
from semilayer_pipelines.embedders.served import KEY_VARIABLE, URL_VARIABLE
from semilayer_pipelines.errors import ConfigError
from semilayer_pipelines.http.listen import listen, url_of

if TYPE_CHECKING:
    from semilayer_pipelines.embedder_service import Opened

__all__ = ["embedder"]


def _not_empty(_: click.Context, option: click.Parameter, name: str | None) -> str | None:
    # As a script gives it, whose variable is not set.
    if name is not None and not name.strip():
        raise click.BadParameter("it is empty.", param=option)
    return name


@click.command()
@address_options(8100)
@click.option(
    "--model",
    default=EmbeddingConfig().model,
    show_default=True,
    callback=_not_empty,
    help="Model name or path, as in a lens's 'embedding'.",
)
@click.option("--revision", help="Revision of the model, as in a lens's 'embedding'.")
@click.option(
    "--dimensions",
    type=click.IntRange(1, 16384),
    help="Length of the vectors, as in a lens's 'embedding'.",
)
@click.option(
    "--precision",
    type=click.Choice(get_args(Precision)),
    default=EmbeddingConfig().precision,
    show_default=True,
    help="Precision, as in a lens's 'embedding'.",
)
@click.option(
    "--provider",
    type=click.Choice(["sentence-transformers", "hash"]),
    default="sentence-transformers",
    show_default=True,
    help="'hash' gives meaningless vectors, for tests.",
)
@click.option(
    "--rerank",
    metavar="MODEL",
    callback=_not_empty,
    help="Reranker to keep warm too, as a lens's 'rerank'.",
)
@json_option
def embedder(
    host: str,
    port: int,
    model: str,
    revision: str | None,
    dimensions: int | None,
    precision: Precision,
    provider: Literal["sentence-transformers", "hash"],
    rerank: str | None,
    as_json: bool,
) -> None:
    """Keep one model warm for every run and search.

    Ctrl-C answers the waiting requests, then ends.

    Point runs to it with SEMILAYER_EMBEDDER_URL. If SEMILAYER_EMBEDDER_KEY is set, callers need
    that key.
    """
    # Here, so that no other command waits for the server's imports.
    from semilayer_pipelines.embedder_service import open_model, serve

    if provider == "hash" and (precision != "auto" or revision is not None):
        raise click.UsageError("'hash' has no precision and no revision.")
    config = EmbeddingConfig(
        provider=provider,
        model=model,
        revision=revision,
        dimensions=dimensions,
        precision=precision,
    )
    key = _key(os.environ)
    address = listen(host, port, "embedder")
    url = url_of(address)
    if key is None and not ip_address(address.getsockname()[0]).is_loopback:
        say_aside(f"Whoever reaches {url} can use the model; set {KEY_VARIABLE} to ask for a key.")

    tell = say_aside if as_json else say
    # The server puts these back and raises the signal again once it has ended.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    try:
        tell(f"Loading {config.model} …")
        serve(
            lambda: open_model(config, rerank),
            address=address,
            key=key,
            ready=partial(_ready, url, as_json),
        )
    except KeyboardInterrupt:
        tell("Stopped.")


def _ready(url: str, as_json: bool, opened: Opened) -> None:
    served = opened.model
    if as_json:
        say_json({"url": url, "model": served.name, "dimension": served.dimension})
    tell = say_aside if as_json else say
    tell(
        f"{served.name} ({served.dimension} numbers, {served.backend}) is ready: "
        f"export {URL_VARIABLE}={url}"
    )


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _key(environ: Mapping[str, str]) -> str | None:
    key = environ.get(KEY_VARIABLE)
    if key is None:
        return None
    if not key.strip():
        raise ConfigError(f"{KEY_VARIABLE} is set but empty.", cure="Unset it or give it a value.")
    # Such a key could not be sent in a header by everybody, and not by our own runs.
    if not (key.strip().isascii() and key.strip().isprintable()):
        raise ConfigError(
            f"{KEY_VARIABLE} holds characters that no key has.",
            cure="Use letters, digits and punctuation; `openssl rand -hex 24` makes a good one.",
        )
    return key.strip()
