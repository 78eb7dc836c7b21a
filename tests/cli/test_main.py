"""What holds for every command: its help, --json, --env and its page in the documentation."""

from __future__ import annotations

import json
import re
from pathlib import Path

import click
import httpx
import pytest

from semilayer_pipelines.cli.context import EXIT_CODES
from semilayer_pipelines.cli.reference import commands, reference
from tests.cli.project import ROOT, Folder
from tests.patience import PATIENCE_SECONDS

LEAVES = {context.command_path.removeprefix("semilayer "): context for context in commands()}
OF_NO_ENVIRONMENT = {
    "import",
    "init",
    "dev",
    "webhook",
    "embedder",
    "envs create",
    "envs delete",
    "envs list",
}


def options(context: click.Context) -> dict[str, click.Option]:
    found = [p for p in context.command.params if isinstance(p, click.Option)]
    return {name: option for option in found for name in option.opts}


def test_there_are_commands_to_be_held_to_it() -> None:
    assert {"push", "export config", "keys create", "envs list", "status"} <= LEAVES.keys()


@pytest.mark.parametrize("name", LEAVES)
def test_a_command_has_a_help_json_and_an_environment(name: str) -> None:
    context = LEAVES[name]
    short = context.command.get_short_help_str(limit=70)

    assert short
    assert not short.endswith("..."), short
    assert all(option.help for option in options(context).values())
    assert "--json" in options(context)
    assert ("--env" in options(context)) is (name not in OF_NO_ENVIRONMENT)


def test_the_committed_page_is_current() -> None:
    committed = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")

    assert committed == reference(), (
        "run: python -m semilayer_pipelines.cli.reference > docs/cli.md"
    )


def test_the_page_is_the_same_whatever_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    before = reference()

    monkeypatch.setenv("SEMILAYER_ENV", "production")

    assert reference() == before
    for code, meaning in EXIT_CODES.items():
        assert f"| {code} | {meaning} |" in before


def error(folder: Folder, *arguments: str) -> dict[str, object]:
    """Run a command that fails with --json; return the error, which must be all there is."""
    result = folder.run(*arguments, "--json")
    told = json.loads(result.stdout)["error"]
    assert result.exit_code == told["exitCode"]
    return dict(told)


def test_an_error_is_a_document_too(folder: Folder) -> None:
    folder.run("push")

    unknown = error(folder, "pause", "--lens", "itms")
    empty = error(folder, "search", "items", "amber")

    assert (unknown["kind"], unknown["exitCode"]) == ("NotFound", 2)
    assert "did you mean 'items'" in str(unknown["message"])
    assert (empty["kind"], empty["exitCode"], empty["lens"]) == ("Refused", 3, "items")
    assert "semilayer resume --lens items" in str(empty["cure"])


@pytest.mark.parametrize(
    ("arguments", "says", "cure"),
    [
        (("status", "--nope"), "No such option '--nope'", "semilayer status --help"),
        (("stauts",), "did you mean 'status'", "semilayer --help"),
        (("keys", "create"), "Missing option '--type'", "semilayer keys create --help"),
        (("keys", "lst"), "did you mean 'list'", "semilayer keys --help"),
        (("search", "items"), "It takes LENS TEXT", "semilayer search --help"),
        (("search", "items", "x", "--limit", "0"), "not in the range", "semilayer search --help"),
        (("push", "--wait"), "--wait needs", "semilayer push --help"),
        (("init", "mysql://u:s3cret@h/d"), "(mysql://u:***@h/d)", "semilayer init --help"),
    ],
)
def test_a_wrong_option_is_a_document_too(
    folder: Folder, arguments: tuple[str, ...], says: str, cure: str
) -> None:
    told = error(folder, *arguments)

    assert (told["kind"], told["exitCode"], told["cure"]) == ("UsageError", 2, cure)
    assert says in str(told["message"])
    assert folder.run(*arguments).stdout == ""


def test_a_word_to_search_for_asks_for_no_document(folder: Folder) -> None:
    assert folder.run("search", "items", "x", "--", "--json").stdout == ""


def test_what_is_away_is_a_document_without_its_password(folder: Folder) -> None:
    folder.environ["SEMILAYER_REGISTRY_URL"] = "postgresql://joe:s3cret@127.0.0.1:1/registry"

    away = error(folder, "status")

    assert away["exitCode"] == 4
    assert "s3cret" not in json.dumps(away)


def test_what_was_done_is_told_as_a_document(folder: Folder) -> None:
    assert folder.json("envs", "create", "staging")["env"] == "staging"
    folder.run("push")

    (resumed,) = folder.json("resume")
    assert (resumed["lens"], [job["mode"] for job in resumed["jobs"]]) == ("items", ["full"])
    assert folder.json("pause", "--lens", "items") == {"lens": "items", "status": "paused"}
    assert folder.json("envs", "set", "--tier", "pro")["callsPerMinute"] == 60
    key = folder.json("keys", "create", "--type", "ingest", "--name", "n")
    assert folder.json("keys", "revoke", key["id"])["revokedAt"]


def test_a_webhook_for_all_tells_where_this_machine_finds_its_console(tmp_path: Path) -> None:
    folder = Folder.at(tmp_path)
    service = folder.start("webhook", "--host", "0.0.0.0", "--port", "0")
    try:
        assert service.stdout is not None
        told = [service.stdout.readline() for _ in range(2)]
        console = re.search(r"Console at (\S+)", told[1])
        assert console is not None, told
        shown = httpx.get(console[1], follow_redirects=True, timeout=PATIENCE_SECONDS)
    finally:
        service.terminate()
        service.communicate(timeout=PATIENCE_SECONDS)

    assert told[0].startswith("Taking changes at http://0.0.0.0:")
    assert (shown.status_code, "Service key" in shown.text) == (200, True)


def test_the_webhook_tells_its_address_as_a_document(tmp_path: Path) -> None:
    folder = Folder.at(tmp_path)
    service = folder.start("webhook", "--port", "0", "--json")
    try:
        assert service.stdout is not None
        told = service.stdout.readline()
    finally:
        service.terminate()
        service.communicate(timeout=PATIENCE_SECONDS)

    assert json.loads(told)["url"].startswith("http://127.0.0.1:")
