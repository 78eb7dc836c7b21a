"""Every address of the console, and the page that answers there."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from webhook.console.files import file_response
from webhook.console.pages import (
    actions,
    environments,
    failed,
    job_list,
    keys,
    lens,
    lenses,
    rows,
    searching,
    settings,
    signing_in,
)
from webhook.console.web import Console, PageFunction, answered
from webhook.service.problems import Code, Problem

__all__ = ["console_routes"]

Endpoint = Callable[[Request], Awaitable[Response]]

_LENS = "/console/{env}/lenses/{lens}"


@dataclass(frozen=True)
class Address:
    """A page; `open_to_all`: also for those who are not signed in."""

    method: str
    path: str
    page: PageFunction
    open_to_all: bool = False


ADDRESSES = (
    Address("GET", "/console", signing_in.first),
    Address("GET", "/console/-/sign-in", signing_in.enter_page, open_to_all=True),
    Address("POST", "/console/-/sign-in", signing_in.enter, open_to_all=True),
    Address("POST", "/console/-/sign-out", signing_in.leave),
    Address("GET", "/console/{env}/lenses", lenses.all_lenses),
    Address("GET", _LENS, lens.one_lens),
    Address("GET", _LENS + "/row", rows.row_page),
    Address("GET", _LENS + "/row/live", rows.live_row),
    Address("GET", _LENS + "/search", searching.search),
    Address("GET", _LENS + "/failed", failed.failed),
    Address("GET", _LENS + "/settings", settings.settings),
    Address("POST", _LENS + "/settings", settings.save),
    Address("GET", _LENS + "/do/{action}", actions.ask),
    Address("POST", _LENS + "/do/{action}", actions.act),
    Address("GET", "/console/{env}/jobs", job_list.all_jobs),
    Address("GET", "/console/{env}/jobs/{id}", job_list.one_job),
    Address("GET", "/console/{env}/keys", keys.all_keys),
    Address("POST", "/console/{env}/keys", keys.create),
    Address("GET", "/console/{env}/keys/{id}/revoke", keys.ask_revoke),
    Address("POST", "/console/{env}/keys/{id}/revoke", keys.revoke),
    Address("GET", "/console/-/environments", environments.all_environments),
    Address("POST", "/console/-/environments", environments.create),
    Address("GET", "/console/-/environments/compare", environments.compare),
    Address("GET", "/console/-/environments/promote", environments.ask_promote),
    Address("POST", "/console/-/environments/promote", environments.promote),
    Address("GET", "/console/{env}/environments/delete", environments.ask_delete),
    Address("POST", "/console/{env}/environments/delete", environments.delete),
    # The last, because it is every other address.
    Address("GET", "/console/{rest:path}", signing_in.nothing_here),
)


def console_routes(console: Console, counted: Callable[[str, str, Endpoint], Route]) -> list[Route]:
    """Return the routes; `counted` makes one of a method, a path and an endpoint."""
    routes = [counted(one.method, one.path, _endpoint(console, one)) for one in ADDRESSES]
    return [counted("GET", "/console/-/static/{name}", _static), *routes]


def _endpoint(console: Console, one: Address) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        return await answered(console, request, one.page, open_to_all=one.open_to_all)

    return endpoint


async def _static(request: Request) -> Response:
    found = file_response(request.path_params["name"])
    if found is None:
        raise Problem(Code.NOT_FOUND, "There is no such file.")
    found.headers["x-content-type-options"] = "nosniff"
    return found
