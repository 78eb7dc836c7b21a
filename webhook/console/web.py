"""What every page goes through: who may see it, what may change something, how it is sent.

A page's function gets an `At`: who is there, and what was asked. It returns what to show (`Page`)
or where to go next (`Go`). Everything that it raises becomes a page with the sentence and its cure.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import chain
from typing import TypeVar
from urllib.parse import parse_qsl, quote, urlsplit

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from semilayer_pipelines.errors import SemilayerError, Transient
from semilayer_pipelines.http.bodies import BodyRefused
from semilayer_pipelines.queries.daemon import Daemon, daemon_of
from semilayer_pipelines.registry.api_keys import ApiKey
from webhook.console.kept import Kept
from webhook.console.reach import Reach, is_local
from webhook.console.render import rendered
from webhook.console.sign_in import COOKIE, PATH, Attempts, Visit, is_forged, set_cookie, visit_of
from webhook.service.problems import Code, Problem, bad_request, from_error
from webhook.service.service import Service, lens_name

__all__ = ["SLOW_SECONDS", "At", "Console", "Go", "Page", "PageFunction", "answered"]

logger = logging.getLogger(__name__)

SLOW_SECONDS = 15.0
"""How long a page of the console waits for a source, a store or a model before it says so."""

MAX_FORM_FIELDS = 2_000
"""Fields of one form of the console."""

POLL = "x-console-poll"
"""Header of a look that a page takes by itself."""

_SAID = "semilayer_console_said"
_SAID_CHARACTERS = 500
_HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'",
    "x-frame-options": "DENY",
    "x-content-type-options": "nosniff",
    # Not `no-referrer`: the origin of a form that is sent would be `null` then.
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}
_PAGE_NUMBER = re.compile(r"[1-9][0-9]{0,8}")
T = TypeVar("T")


@dataclass(frozen=True)
class Console:
    """The console of one server process."""

    service: Service
    reach: Reach
    kept: Kept = field(default_factory=Kept)
    attempts: Attempts = field(default_factory=Attempts)
    # Of its own, so that a source that hangs keeps no call of the webhook waiting.
    slow: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(4, "webhook-console")
    )


@dataclass(frozen=True)
class Page:
    """What is shown: a template, what it needs, and the HTTP status."""

    template: str
    data: Mapping[str, object]
    status: int = 200


@dataclass(frozen=True)
class Go:
    """Where to go next, what is said there, and the token of a session that began."""

    to: str
    said: str = ""
    token: str | None = None
    leave: bool = False


@dataclass(frozen=True)
class At:
    """One request: who is there (`None`: nobody yet), and what was asked."""

    console: Console
    request: Request
    visit: Visit | None
    form: tuple[tuple[str, str], ...] = ()

    @property
    def key(self) -> ApiKey:
        """The key that opens the environment of the address."""
        assert self.visit is not None, "the address is for those who are signed in"
        return self.visit.keys[self.env]

    @property
    def env(self) -> str:
        """The environment of the address."""
        name: str = self.request.path_params["env"]
        return name

    @property
    def lens(self) -> str:
        """The lens of the address; raises `Problem` for what can be no lens's name."""
        return lens_name(self.request)

    @property
    def base(self) -> str:
        """The address of the environment."""
        return f"{PATH}/{self.env}"

    def asked(self, name: str) -> str:
        """Return what the address says after `?`, without white space around it."""
        return str(self.request.query_params.get(name, "")).strip()

    @property
    def page_number(self) -> int:
        """The page of a list that is asked for, counted from 1."""
        asked = self.asked("page")
        return int(asked) if _PAGE_NUMBER.fullmatch(asked) else 1

    def given(self, name: str) -> str:
        """Return a field of the form, without white space around it."""
        return next((value for key, value in self.form if key == name), "").strip()

    async def read(self, work: Callable[[], T]) -> T:
        """Do something short that waits for the registry."""
        return await self.console.service.in_thread(work)

    async def slow(self, work: Callable[[], T], *, seconds: float = SLOW_SECONDS) -> T:
        """Do something that waits for a source, a store or a model, for so long at most.

        Raises `Transient` then; the work itself ends when those give up.
        """
        working = asyncio.get_running_loop().run_in_executor(self.console.slow, work)
        try:
            return await asyncio.wait_for(asyncio.shield(working), seconds)
        except TimeoutError:
            working.add_done_callback(lambda done: done.cancelled() or done.exception())
            raise Transient(
                f"There was no answer within {seconds:.0f} s.",
                cure="The database, the store or the model is slow or away; try again.",
            ) from None

    async def daemon(self) -> Daemon:
        """Return how Dagster's daemon stands."""
        project = self.console.service.project

        def look() -> Daemon:
            with project.registry.read() as db:
                return daemon_of(db, project.clock())

        return await self.console.kept.get("daemon", lambda: self.read(look))


PageFunction = Callable[[At], Awaitable[Page | Go | Response]]


async def answered(
    console: Console, request: Request, page: PageFunction, *, open_to_all: bool = False
) -> Response:
    """Return the response to a request for a page. Raises nothing."""
    at = At(console, request, None)
    try:
        if console.reach is Reach.LOCAL and not is_local(request):
            raise _NOT_LOCAL
        at = await _let_in(at, open_to_all=open_to_all)
        found = await page(at)
    except _Sent as sent:
        found = sent.response
    except Exception as error:  # noqa: BLE001 - whatever it is, a person is told
        found = _failed(error, request)
    try:
        response = await _response(at, found)
    except SemilayerError as error:  # of the registry, which the frame of the page asks
        response = _bare(_failed(error, request))
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    return response


class _Sent(Exception):
    """A response that comes before the page."""

    def __init__(self, response: Page | Go | Response) -> None:
        super().__init__()
        self.response = response


_NOT_LOCAL = Problem(
    Code.FORBIDDEN,
    "The console is shown on its own machine only.",
    "Set SEMILAYER_CONSOLE=on for the webhook to show it to whoever reaches it.",
)


async def _let_in(at: At, *, open_to_all: bool) -> At:
    """Return the request with who is there and what they sent; raises `_Sent` and `Problem`."""
    request, project = at.request, at.console.service.project
    visit = await at.read(lambda: visit_of(project, request))
    form: tuple[tuple[str, str], ...] = ()
    if request.method == "POST":
        _check_origin(request)
        form = await _form(at)
    _check_texts(request, form)
    at = At(at.console, request, visit, form)
    if open_to_all:
        return at
    env = request.path_params.get("env")
    if visit is None or (env is not None and env not in visit.keys):
        raise _Sent(_to_sign_in(request, env, signed_in=visit is not None))
    if request.method == "POST" and is_forged(visit, at.given("form_token")):
        raise Problem(
            Code.FORBIDDEN,
            "This form was not made for your session, so nothing was done.",
            "Go back, load the page again, and repeat it.",
        )
    return at


def _to_sign_in(request: Request, env: str | None, *, signed_in: bool) -> Page | Go | Response:
    if POLL in request.headers:
        return Response(status_code=401)
    site = request.headers.get("sec-fetch-site", "")
    if site == "cross-site" and request.method == "GET":
        # The browser kept its cookie back, because another site sent it here. It gives it to a
        # request that comes from a page of ours.
        return Page("arrive.html", {"to": _here(request)})
    after = quote(_here(request) if request.method == "GET" else PATH, safe="")
    named = f"&env={quote(env)}" if env else ""
    said = f"You are not signed in to {env}." if signed_in and env else ""
    if not signed_in and COOKIE in request.cookies:
        said = "Your session is over, or its key was revoked."
    if said and request.method == "POST":
        said += " Nothing was done."
    return Go(f"{PATH}/-/sign-in?next={after}{named}", said, leave=not signed_in)


def _here(request: Request) -> str:
    return request.url.path + (f"?{request.url.query}" if request.url.query else "")


def _check_origin(request: Request) -> None:
    """Raise `Problem` for a form that another site sent; browsers tell, and cannot be made to lie.

    One that tells neither is told apart by the token in its form.
    """
    site = request.headers.get("sec-fetch-site")
    origin = request.headers.get("origin")
    if site is not None:
        same = site == "same-origin"
    else:
        same = origin is None or urlsplit(origin).netloc == request.headers.get("host")
    if not same:
        raise Problem(
            Code.FORBIDDEN,
            "This form was sent from another site, so nothing was done.",
            "Open the console itself and repeat it there.",
        )


def _check_texts(request: Request, form: tuple[tuple[str, str], ...]) -> None:
    """Raise `Problem` for NUL: a registry on PostgreSQL takes none, and no name has one."""
    if "\0" in request.scope["path"]:
        raise Problem(Code.NOT_FOUND, "There is no such page: its address holds NUL (%00).")
    for what, pairs in (("address", request.query_params.multi_items()), ("form", form)):
        if any("\0" in text for text in chain.from_iterable(pairs)):
            raise bad_request(f"The {what} holds NUL (%00).", "Take it out and send it again.")


async def _form(at: At) -> tuple[tuple[str, str], ...]:
    body = await at.console.service.bodies.read(at.request)
    try:
        fields = parse_qsl(
            body.decode("utf-8"), keep_blank_values=True, max_num_fields=MAX_FORM_FIELDS
        )
    except ValueError:
        raise bad_request("The form cannot be read.") from None
    return tuple(fields)


def _failed(error: Exception, request: Request) -> Page:
    problem = from_error(error)
    if not isinstance(error, (Problem, BodyRefused, SemilayerError)):
        logger.exception("the console failed at %s", request.url.path)
    back = urlsplit(request.headers.get("referer", "")).path if request.method == "POST" else ""
    return Page(
        "problem.html",
        {
            "message": problem.message,
            "cure": problem.cure,
            "back": back if back.startswith(f"{PATH}/") else "",
        },
        problem.status,
    )


async def _response(at: At, found: Page | Go | Response) -> Response:
    match found:
        case Response():
            return found
        case Go():
            response: Response = RedirectResponse(found.to, 303)
            if found.token is not None:
                set_cookie(response, at.request, found.token)
            if found.leave and COOKIE in at.request.cookies:
                response.delete_cookie(COOKIE, path=PATH)
            if found.said:
                said = base64.urlsafe_b64encode(found.said[:_SAID_CHARACTERS].encode()).decode()
                response.set_cookie(
                    _SAID, said, max_age=60, path=PATH, httponly=True, samesite="strict"
                )
            return response
        case Page():
            return await _page(at, found)


async def _page(at: At, found: Page) -> Response:
    polled = POLL in at.request.headers
    said = "" if polled else _said(at.request)
    signed_in = at.visit is not None
    daemon = await at.daemon() if signed_in else None
    env = str(at.request.path_params.get("env", ""))
    frame = {
        "path": at.request.url.path,
        "query": at.request.url.query,
        "base": f"{PATH}/{env}" if env else "",
        "env": env,
        "envs": sorted(at.visit.keys) if at.visit else [],
        "form_token": at.visit.forgery_token if at.visit else "",
        "said": said,
        "daemon": daemon,
        "now": at.console.service.project.clock(),
    }
    text = await asyncio.to_thread(rendered, found.template, frame | dict(found.data))
    response = Response(text, found.status, media_type="text/html")
    if said:
        response.delete_cookie(_SAID, path=PATH)
    return response


def _bare(found: Page) -> Response:
    """Return a page without what its frame would ask the registry for."""
    return Response(rendered(found.template, dict(found.data)), found.status, None, "text/html")


def _said(request: Request) -> str:
    try:
        return base64.urlsafe_b64decode(request.cookies.get(_SAID, "")).decode()
    except ValueError:
        return ""
