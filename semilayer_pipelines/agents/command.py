"""`semilayer mcp`: tools for people's agents."""

from __future__ import annotations

from importlib.util import find_spec

import click

from semilayer_pipelines.cli.combinations import not_with, only_with
from semilayer_pipelines.cli.context import (
    Here,
    address_options,
    env_option,
    json_option,
    say_aside,
    say_json,
)
from semilayer_pipelines.errors import ConfigError
from semilayer_pipelines.http.listen import listen, url_of

__all__ = ["mcp"]


@click.command()
@click.option("--http", "over_http", is_flag=True, help="Serve over HTTP; callers need an sk_ key.")
@address_options(8200)
@env_option
@json_option
@click.pass_obj
def mcp(here: Here, over_http: bool, host: str, port: int, env: str, as_json: bool) -> None:
    """Give an agent tools to search lenses, explain rows and run syncs.

    An agent starts the command and talks to it over standard input and output (MCP). With --http it
    serves many agents, each in the environment of its key. What changes something takes two calls:
    the first says what would happen.
    """
    only_with("--host", "--http")
    only_with("--port", "--http")
    not_with("--http", "--env")
    if find_spec("mcp") is None:
        raise ConfigError(
            "The library for agents is not installed.",
            cure="Install it: pip install 'semilayer-pipelines[mcp]'",
        )
    # Here, so that no other command waits for the library.
    from semilayer_pipelines.agents.serve import serve_http, serve_stdio

    project = here.project
    if not over_http:
        serve_stdio(project, env)
        return
    address = listen(host, port, "mcp --http")
    url = f"{url_of(address)}/mcp"
    if as_json:
        say_json({"url": url})
    say_aside(f"Agents connect to {url} with an sk_ key   (Ctrl-C ends)")
    try:
        serve_http(project, address)
    except KeyboardInterrupt:
        say_aside("Stopped.")
