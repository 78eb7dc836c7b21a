"""Signing in with a service key, and out."""

from __future__ import annotations

from urllib.parse import urlsplit

from semilayer_pipelines.errors import Refused
from webhook.console.sign_in import PATH, sign_in, sign_out
from webhook.console.web import At, Go, Page
from webhook.service.problems import Code, Problem

__all__ = ["enter", "enter_page", "first", "leave", "nothing_here"]


async def first(at: At) -> Go:
    """Go to the first environment that a person is signed in to."""
    assert at.visit is not None
    return Go(f"{PATH}/{min(at.visit.keys)}/lenses")


async def enter_page(at: At) -> Page:
    """Ask for a key."""
    return _page(at, "", "", 200)


async def enter(at: At) -> Page | Go:
    """Take a key."""
    project = at.console.service.project
    client = at.request.client
    try:
        at.console.attempts.admit(client.host if client else "")
        token, key = await at.read(lambda: sign_in(project, at.given("key"), at.visit))
    except Refused as error:
        return _page(at, error.message, error.cure, 403)
    return Go(_after(at.given("next")) or f"{PATH}/{key.env}/lenses", token=token)


async def leave(at: At) -> Go:
    """End the session."""
    visit, project = at.visit, at.console.service.project
    assert visit is not None
    await at.read(lambda: sign_out(project, visit))
    return Go(f"{PATH}/-/sign-in", "You are signed out.", leave=True)


async def nothing_here(at: At) -> Page:
    """Say that an address is none."""
    raise Problem(Code.NOT_FOUND, "There is no such page.")


def _page(at: At, message: str, cure: str, status: int) -> Page:
    after = at.given("next") or at.asked("next")
    data = {
        "message": message,
        "cure": cure,
        "next": _after(after),
        "wanted": at.given("env") or at.asked("env"),
    }
    return Page("sign_in.html", data, status)


def _after(address: str) -> str:
    """Return an address of the console to go to; empty for any other, which another site chose."""
    parts = urlsplit(address)
    ours = address.startswith(f"{PATH}/") and not parts.scheme and not parts.netloc
    return address if ours and "\\" not in address and not address.startswith("//") else ""
