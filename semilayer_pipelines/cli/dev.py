"""`semilayer dev`: everything in one terminal; one Ctrl-C stops all of it."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from functools import partial

import click
from filelock import FileLock, Timeout
from rich.console import Console
from rich.text import Text

from semilayer_pipelines.cli.combinations import not_with
from semilayer_pipelines.cli.context import (
    Here,
    console,
    errors,
    json_option,
    say,
    say_aside,
    say_json,
)
from semilayer_pipelines.config.embedding import EmbeddingConfig
from semilayer_pipelines.dev.dagster import (
    follow_process,
    program,
    refuse_taken,
    start_dagster,
    webhook_process,
)
from semilayer_pipelines.dev.supervisor import Process, Supervisor, free_port
from semilayer_pipelines.dev_addresses import DevAddresses, forget_addresses, leave_addresses
from semilayer_pipelines.errors import ConfigError, RegistryUnavailable, Terminal
from semilayer_pipelines.http.listen import local_url
from semilayer_pipelines.private_files import private_folder
from semilayer_pipelines.project import Project
from semilayer_pipelines.registry import lenses, sources
from semilayer_pipelines.starter.beside import told_beside, write_beside

__all__ = ["dev", "shared_model"]

PUSHED_SECONDS = 2.0
"""How often a source is looked for that was pushed and is to be followed."""

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_TEDIOUS = (
    "Checking for new runs for sensor",
    "skipped: No job is due.",
    "checking tag concurrency limits",
    " - dagster - DEBUG - ",
)
"""Parts of lines that Dagster repeats every few seconds or for every step; its UI has them all."""

_PORT = click.IntRange(1, 65_535)
_COLOURS = {
    "code server": "cyan",
    "web server": "green",
    "daemon": "yellow",
    "webhook": "magenta",
    "embedder": "blue",
    "follower": "bright_cyan",
}


@click.command()
@click.option("--port", default=3000, show_default=True, type=_PORT, help="Port of the Dagster UI.")
@click.option(
    "--webhook-port", default=8000, show_default=True, type=_PORT, help="Port of the webhook."
)
@click.option("--no-ui", is_flag=True, help="Do not start the web server.")
@click.option(
    "--no-embedder", is_flag=True, help="Do not start the embedder; every run loads its model."
)
@json_option
@click.pass_obj
def dev(
    here: Here, port: int, webhook_port: int, no_ui: bool, no_embedder: bool, as_json: bool
) -> None:
    """Run Dagster, webhook and embedder in one terminal until Ctrl-C.

    The embedder keeps the model warm that most lenses use. It does not start when
    SEMILAYER_EMBEDDER_URL names a running one. A follower starts once a source says `cdc`.
    """
    not_with("--no-ui", "--port")
    project, ui_port = here.project, None if no_ui else port
    tell = say_aside if as_json else say
    alone = _refuse_a_second(project)
    before = {number: signal.signal(number, _interrupt) for number in _ENDING}
    supervisor = None
    ended = None
    try:
        shown = errors() if as_json else console()
        # One that was killed could not take its own away.
        forget_addresses(project.settings.home)
        _have_dagster_files(project, tell)
        supervisor, addresses = _start(
            project, ui_port, webhook_port, shown, embedder=not no_embedder
        )
        leave_addresses(project.settings.home, addresses)
        if as_json:
            say_json({"dagster": addresses.dagster, "webhook": addresses.webhook})
        tell("\n  " + _welcome(project, ui_port, webhook_port) + "\n")
        follows, look_again = False, 0.0
        while not (ended := supervisor.ended()):
            if not follows and time.monotonic() >= look_again:
                look_again = time.monotonic() + PUSHED_SECONDS
                if follows := _is_to_follow(project):
                    supervisor.start(follow_process())
            time.sleep(0.2)
    except KeyboardInterrupt:
        pass  # how this command is meant to end
    finally:
        for number in _ENDING:
            signal.signal(number, signal.SIG_IGN)
        if supervisor is not None:
            # The terminal may be gone, which is no reason to leave anything running.
            with suppress(OSError):
                tell("Stopping …")
            supervisor.stop()
        forget_addresses(project.settings.home)
        for number, handler in before.items():
            signal.signal(number, handler)
        alone.release()
    if ended:
        raise Terminal(f"The {ended} ended by itself; its last lines above say why.")


def _start(
    project: Project, ui_port: int | None, webhook_port: int, shown: Console, *, embedder: bool
) -> tuple[Supervisor, DevAddresses]:
    refuse_taken("--webhook-port", webhook_port)
    beside = [webhook_process(webhook_port)]
    environ = {}
    dagster_url = None if ui_port is None else local_url(ui_port)
    if dagster_url is not None:
        environ["SEMILAYER_DAGSTER_URL"] = dagster_url
    model = shared_model(project) if embedder and not project.settings.embedder_url else None
    embedder_url = None
    if model is not None:
        embedder_port = free_port()
        beside.append(_embedder(model, embedder_port, shared_reranker(project)))
        embedder_url = environ["SEMILAYER_EMBEDDER_URL"] = local_url(embedder_port)
    supervisor = start_dagster(
        project, ui_port=ui_port, say=partial(_say, shown), environ=environ, beside=beside
    )
    return supervisor, DevAddresses(os.getpid(), dagster_url, local_url(webhook_port), embedder_url)


def _refuse_a_second(project: Project) -> FileLock:
    """Take the folder's lock for `semilayer dev`; the kernel frees it if we are killed.

    Two at once do no harm, but Dagster's daemons would complain about each other all the time.
    """
    home = project.settings.home
    lock = FileLock(home / "dev.lock", mode=0o600)
    try:
        private_folder(home)
        lock.acquire(timeout=0)
    except Timeout:
        raise ConfigError(
            "A `semilayer dev` of this folder is running already.",
            cure="Use that one, or end it with Ctrl-C in its terminal.",
        ) from None
    except OSError as error:
        raise ConfigError(
            f"Cannot write to {home}: {error.strerror}.",
            cure="Let SEMILAYER_HOME name a folder that this user may write to.",
        ) from None
    return lock


def _have_dagster_files(project: Project, tell: Callable[[str], None]) -> None:
    """Write Dagster's files beside a configuration that came without them."""
    settings = project.settings
    if os.path.isfile(settings.config) and not (settings.root / "dagster.yaml").is_file():
        tell(told_beside(write_beside(settings.root)))


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _is_to_follow(project: Project) -> bool:
    """Say whether a source says `cdc`; that may be pushed while all else runs."""
    try:
        with project.registry.read() as db:
            return sources.any_follows(db)
    except RegistryUnavailable:
        return False


def _welcome(project: Project, ui_port: int | None, webhook_port: int) -> str:
    if ui_port is None:
        told = "Dagster:  without its UI   (Ctrl-C stops everything)"
    else:
        told = f"Dagster:  {local_url(ui_port)}   (Ctrl-C stops everything)"
    webhook = local_url(webhook_port)
    told += f"\n  Webhook:  {webhook}/v1/ingest/LENS"
    told += "   (key: semilayer keys create --type ingest --name my-worker)"
    told += f"\n  Console:  {webhook}/console"
    told += "   (sign in: semilayer keys create --type service --name console)"
    named = project.settings.dagster_url
    if ui_port is not None and named not in (None, local_url(ui_port)):
        told += f"\n  SEMILAYER_DAGSTER_URL names {named}; unset it for `push` to find this one."
    return told


def shared_model(project: Project) -> EmbeddingConfig | None:
    """Return the sentence-transformers model of most lenses, `None` when no lens has one.

    Before the first push it is the default model.
    """
    with project.registry.read() as db:
        configs = [lens.config.embedding for lens in lenses.list_all(db)]
    if not configs:
        return EmbeddingConfig()
    used = Counter(one.model_alone() for one in configs if one.provider == "sentence-transformers")
    return used.most_common(1)[0][0] if used else None


def shared_reranker(project: Project) -> str | None:
    """Return the reranker of most lenses, `None` when no lens has one."""
    with project.registry.read() as db:
        used = Counter(one for lens in lenses.list_all(db) if (one := lens.config.rerank))
    return used.most_common(1)[0][0] if used else None


def _embedder(model: EmbeddingConfig, port: int, reranker: str | None = None) -> Process:
    command = [*program("semilayer"), "embedder", "--port", str(port), "--model", model.model]
    if model.revision is not None:
        command += ["--revision", model.revision]
    if model.dimensions is not None:
        command += ["--dimensions", str(model.dimensions)]
    if model.precision != "auto":
        command += ["--precision", model.precision]
    if reranker is not None:
        command += ["--rerank", reranker]
    # Not waited for: until it answers, a run loads the model by itself.
    return Process("embedder", command)


def _say(shown: Console, name: str, line: str) -> None:
    if any(tedious in line for tedious in _TEDIOUS):
        return
    # One call a line: three threads print here.
    shown.print(Text.assemble((f"{name:>11} ", _COLOURS[name]), Text.from_ansi(line)))
