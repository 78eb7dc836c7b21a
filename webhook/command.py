"""`semilayer webhook`: the HTTP service that takes changes."""

from __future__ import annotations

import socket
from ipaddress import ip_address

import click

from semilayer_pipelines.cli.context import (
    Here,
    address_options,
    json_option,
    say,
    say_aside,
    say_json,
)
from semilayer_pipelines.errors import Transient
from semilayer_pipelines.http.listen import listen, local_url, url_of
from semilayer_pipelines.redaction import redact

__all__ = ["webhook"]


@click.command()
@address_options(8000)
@click.option(
    "--workers",
    default=1,
    show_default=True,
    type=click.IntRange(1, 64),
    help="Number of processes; one takes thousands of calls per second.",
)
@json_option
@click.pass_obj
def webhook(here: Here, host: str, port: int, workers: int, as_json: bool) -> None:
    """Take changes over HTTP until Ctrl-C.

    Accepted changes are safe. Dagster indexes them (`semilayer dev`). Callers need a key:
    semilayer keys create --type ingest --name my-worker
    """
    # Here, so that no other command waits for the server's imports.
    from webhook.console.reach import Reach, reach_of
    from webhook.serve import serve

    project = here.project
    try:
        # A setting that is wrong ends the command now, and not with the first call.
        _ = project.registry
    except Transient as error:
        say_aside(
            f"The registry does not answer yet; calls get 503 until it does. {redact(str(error))}"
        )
    address = listen(host, port, "webhook")
    url = url_of(address)
    tell = say_aside if as_json else say
    if as_json:
        say_json({"url": url, "workers": workers})
    tell(f"Taking changes at {url}/v1/ingest/LENS   (Ctrl-C answers what waits, then ends)")
    if reach_of(project.environ) is not Reach.OFF:
        tell(
            f"Console at {_console_url(address)}/console   "
            "(sign in: semilayer keys create --type service --name console)"
        )
    try:
        serve(project, address, workers=workers)
    except KeyboardInterrupt:
        tell("Stopped.")


def _console_url(address: socket.socket) -> str:
    """Return where a browser of this machine finds the console: at no address that is all of them.

    By default the console is shown under a name of this machine alone.
    """
    host, port = address.getsockname()[:2]
    return local_url(port) if ip_address(host).is_unspecified else url_of(address)
