"""What every command needs: the project, the environment it is about, and how errors end.

Exit codes are a contract (`EXIT_CODES`), and so is `--json`: standard output holds one JSON
document and nothing else, which is `{"error": …}` when nothing came of the command.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from datetime import date, datetime
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from semilayer_pipelines.cli.told_commands import naming_env, naming_env_inside
from semilayer_pipelines.counts import utc_text
from semilayer_pipelines.errors import Refused, SemilayerError, Transient, UserError, nearest
from semilayer_pipelines.project import Project
from semilayer_pipelines.redaction import redact
from semilayer_pipelines.registry.environments import DEFAULT_ENV

if TYPE_CHECKING:
    from rich.console import Console

__all__ = [
    "EXIT_CODES",
    "INTERRUPTED",
    "MOST_LISTED",
    "Here",
    "SemilayerGroup",
    "SuggestingGroup",
    "address_options",
    "ask",
    "console",
    "env_option",
    "errors",
    "exit_code",
    "json_option",
    "json_text",
    "say",
    "say_as_is",
    "say_aside",
    "say_json",
    "with_env",
    "without_controls",
]

MOST_LISTED = 1_000_000
"""Jobs or rows that one list shows at most; no registry keeps so many of a lens."""

INTERRUPTED = 130
"""What a shell gives a program that Ctrl-C ended."""

EXIT_CODES: dict[int, str] = {
    0: "Done.",
    1: "Failed, and will fail again until somebody acts. The message says how.",
    2: "Wrong input: an option, the configuration, a name, or a table that does not fit it.",
    3: "Refused: a person has to decide (drift, a removal, the guard), or an index is not in sync.",
    4: "Unreachable: the source, the registry, the store or the embedder. Try again later.",
    INTERRUPTED: "Interrupted with Ctrl-C, or a question left unanswered; what was queued goes on.",
}
"""Exit codes of every command, and what each says."""

_AS_JSON = "semilayer.as_json"
_ANSWERED = "semilayer.answered"
_ENV = "semilayer.env"

WIDE = 200
"""Columns of what is not a terminal: nobody wants a table folded in a log or a pipe."""

# A row's text must not ring, move the cursor or change colours where it is shown.
_CONTROLS = dict.fromkeys({*range(32), *range(127, 160)} - {ord("\t"), ord("\n")})


@cache
def console() -> Console:
    """Return where tables and progress are shown."""
    # Most commands print lines only, and need not wait for it.
    from rich.console import Console

    return Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else WIDE)


def say(text: str = "") -> None:
    """Print a line to standard output."""
    say_as_is(with_env(text))


def say_aside(text: str = "") -> None:
    """Print a line to standard error."""
    click.echo(without_controls(with_env(text)), err=True)


def say_as_is(text: str) -> None:
    """Print a line that shows a row's text; nothing in it is a command of ours."""
    click.echo(without_controls(text))


def without_controls(text: str) -> str:
    """Return a text without what drives a terminal; line breaks and tabs stay."""
    return text.translate(_CONTROLS)


def with_env(text: str) -> str:
    """Return a text whose commands name the environment that `--env` named."""
    env = _named_env()
    return text if env is None else naming_env(text, env)


def _named_env() -> str | None:
    context = click.get_current_context(silent=True)
    return None if context is None else context.meta.get(_ENV)


@cache
def errors() -> Console:
    """Return where mistakes are shown, and progress beside a JSON document."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, soft_wrap=True)


def say_json(value: Any) -> None:
    """Print a value as one JSON document."""
    context = click.get_current_context(silent=True)
    if context is not None:
        context.meta[_ANSWERED] = True
    if (env := _named_env()) is not None:
        value = naming_env_inside(value, env)
    unicode = (sys.stdout.encoding or "").lower().startswith("utf")
    click.echo(json_text(value, ascii=not unicode))


def json_text(value: Any, *, ascii: bool = False) -> str:
    """Return a value as JSON, in which numbers that are none are texts."""
    return json.dumps(_plain(value), ensure_ascii=ascii, default=_as_text)


def _plain(value: Any) -> Any:
    match value:
        case float() if not math.isfinite(value):
            return str(value)
        case dict():
            return {name: _plain(each) for name, each in value.items()}
        case list() | tuple():
            return [_plain(each) for each in value]
        case _:
            return value


def _as_text(value: object) -> str:
    """Return what JSON has no form for, as the webhook's responses have it."""
    match value:
        case datetime() if value.tzinfo is not None:
            return utc_text(value)
        case date():
            return value.isoformat()
        case _:
            return str(value)


def ask(question: str, *, cure: str) -> None:
    """Ask a person; raise `Refused` for a no, and with `cure` where there is nobody to ask."""
    if not sys.stdin.isatty():
        raise Refused(f"{question} There is nobody to ask here.", cure=cure)
    if not click.confirm(question, err=True):
        raise Refused("Nothing was done.")


def exit_code(error: SemilayerError) -> int:
    """Return the exit code of an error."""
    match error:
        case UserError():
            return 2
        case Refused():
            return 3
        case Transient():
            return 4
        case _:
            return 1


class SuggestingGroup(click.Group):
    """A command group that tells the nearest command to one that there is not."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; a misspelt one is a usage error that names the nearest."""
        name, known = args[0], self.list_commands(ctx)
        if name in known or name.startswith("-"):
            return super().resolve_command(ctx, args)
        hint = nearest(name, known)
        cure = "" if hint else f" Commands: {', '.join(known)}."
        ctx.fail(f"There is no command {name!r}{hint}.{cure}")


class SemilayerGroup(SuggestingGroup):
    """A command group whose errors are sentences, not tracebacks."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Note whether a document is asked for: what follows may not be readable."""
        typed = args[: args.index("--")] if "--" in args else args
        ctx.meta[_AS_JSON] = "--json" in typed
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; an error of ours ends with its message and its exit code."""
        try:
            return super().invoke(ctx)
        except click.UsageError as error:
            if not ctx.meta.get(_AS_JSON):
                raise
            say_json({"error": _usage_json(error)})
            ctx.exit(error.exit_code)
        except SemilayerError as error:
            code = exit_code(error)
            if ctx.meta.get(_AS_JSON) and not ctx.meta.get(_ANSWERED):
                say_json({"error": _error_json(error, code)})
            else:
                said = without_controls(f"semilayer: {with_env(redact(str(error)))}")
                errors().print(said, style="red", markup=False, emoji=False)
            ctx.exit(code)
        except (click.Abort, KeyboardInterrupt):
            ctx.exit(INTERRUPTED)


def _usage_json(error: click.UsageError) -> dict[str, object]:
    _, *words = (error.ctx or click.get_current_context()).command_path.split()
    return {
        "kind": "UsageError",
        "message": redact(error.format_message()),  # it quotes what was typed
        "cure": " ".join(["semilayer", *words, "--help"]),
        "lens": None,
        "exitCode": error.exit_code,
    }


def _error_json(error: SemilayerError, code: int) -> dict[str, object]:
    return {
        "kind": type(error).__name__,
        "message": redact(error.message),
        "cure": redact(error.cure) or None,
        "lens": error.lens,
        "exitCode": code,
    }


class Here:
    """The project of the working directory, opened when a command needs it."""

    @cached_property
    def project(self) -> Project:
        """The project."""
        return Project.here()


def env_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--env`."""
    return click.option(
        "--env",
        envvar="SEMILAYER_ENV",
        default=DEFAULT_ENV,
        show_default=True,
        callback=_remember_env,
        help="Environment.",
    )(command)


def _remember_env(ctx: click.Context, _: click.Parameter, env: str) -> str:
    # One that a variable names is named for the next command, too.
    if ctx.get_parameter_source("env") is ParameterSource.COMMANDLINE:
        ctx.meta[_ENV] = env
    return env


def address_options(port: int) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add `--host` and `--port`."""

    def add(command: Callable[..., Any]) -> Callable[..., Any]:
        with_port = click.option(
            "--port",
            default=port,
            show_default=True,
            type=click.IntRange(0, 65535),
            help="Port to listen on; 0 takes a free one.",
        )(command)
        return click.option(
            "--host", default="127.0.0.1", show_default=True, help="Address to listen on."
        )(with_port)

    return add


def json_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--json`."""
    return click.option(
        "--json", "as_json", is_flag=True, callback=_remember, help="Print one JSON document."
    )(command)


def _remember(ctx: click.Context, _: click.Parameter, as_json: bool) -> bool:
    # For the error that may end the command; the parameters are gone by then.
    ctx.meta[_AS_JSON] = as_json
    return as_json
