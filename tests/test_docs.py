"""The pages for people name what exists: commands, links, paths, and a cure for every error."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

from semilayer_pipelines import errors
from semilayer_pipelines.cli.reference import commands

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([*(ROOT / "docs").glob("*.md"), *ROOT.glob("*.md")])
LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)")
COMMAND = re.compile(
    r"(?<!--install )semilayer ((?:[a-z]+ ?)+)((?: *--[a-z-]+(?: [\w.{]+)?| +[\w.]+)*)"
)
KNOWN = {
    context.command_path.removeprefix("semilayer "): {
        name for parameter in context.command.params for name in parameter.opts
    }
    for context in commands()
}
NEVER_MET = {
    "Fenced",  # a run tells it to itself
    "Refused",
    "SemilayerError",
    "Terminal",
    "Transient",
    "UserError",
}
"""Not seen by a person, or only as one of its kinds."""


def code_of(page: Path) -> list[str]:
    """Return what a page shows as code: its blocks line by line, and its inline code."""
    text = page.read_text(encoding="utf-8")
    blocks = re.findall(r"```console\n(.*?)```", text, re.DOTALL)
    typed = [line for block in blocks for line in block.splitlines() if line.startswith("$")]
    return typed + re.findall(
        r"`(semilayer [^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_command_on_a_page_exists_with_its_options(page: Path) -> None:
    for line in code_of(page):
        for words, _ in COMMAND.findall(line):
            name = next((n for n in KNOWN if words.strip() == n or words.startswith(n + " ")), None)
            groups = {known.split()[0] for known in KNOWN}
            assert name or words.split()[0] in groups, line
            if name:
                rest = line.split(f"semilayer {name}", 1)[1].split("#")[0]
                used = set(re.findall(r"(?<=\s)--[a-z-]+", rest))
                assert used <= KNOWN[name] | {"--help"}, line


def test_the_commands_on_the_pages_are_found_at_all() -> None:
    page = ROOT / "docs" / "troubleshooting.md"

    assert any("semilayer explain products" in line for line in code_of(page))


def anchors_of(page: Path) -> set[str]:
    """Return what a heading of a page is linked by."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    for path, anchor in LINK.findall(page.read_text(encoding="utf-8")):
        target = (page.parent / path).resolve() if path else page

        assert target.exists(), path
        assert not anchor or anchor in anchors_of(target), f"{path}#{anchor}"


def test_the_committed_limits_are_current_and_each_has_its_sentence() -> None:
    committed = (ROOT / "docs" / "limits.md").read_text(encoding="utf-8")

    assert committed == runpy.run_path(str(ROOT / "docs" / "limits.py"))["page"](), "run: make docs"
    assert "| 8,000 | `ingest.page_size.MAX_PAGE_ROWS` |" in committed


@pytest.mark.parametrize("limit", ["ingest.NO_SUCH_LIMIT", "stores.KEY"])
def test_a_limit_that_is_gone_or_says_nothing_stops_the_page(limit: str) -> None:
    row = runpy.run_path(str(ROOT / "docs" / "limits.py"))["row"]

    with pytest.raises(LookupError, match="docs/limits"):
        row(limit)


def test_every_path_that_contributors_are_sent_to_exists() -> None:
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    paths = set(re.findall(r"`((?:semilayer_pipelines|webhook|tests|docs)/[\w/.*-]+)`", page))

    missing = [path for path in sorted(paths) if not list(ROOT.glob(path))]

    assert missing == ["tests/bridges/test_NAME.py"], "only the file that is to be written"
    assert len(re.findall(r"^\| .+ \| `.+` \| `.+` \|$", page, re.MULTILINE)) > 25


def test_troubleshooting_tells_of_every_error_class() -> None:
    told = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")

    classes = {name for name in errors.__all__ if isinstance(getattr(errors, name), type)}

    assert {name for name in classes - NEVER_MET if f"`{name}`" not in told} == set()
