"""One alert as an address takes it, and the call that brings it there.

The address may be a secret. It stands in no log, no error and no result of anything here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from semilayer_pipelines.config.alerts import AlertConfig, AlertForm
from semilayer_pipelines.config.variables import filled
from semilayer_pipelines.counts import utc_text
from semilayer_pipelines.errors import ConfigError
from semilayer_pipelines.http.deadline import within
from semilayer_pipelines.http.unlogged import unlogged
from semilayer_pipelines.quick_imports import import_httpx
from semilayer_pipelines.redaction import redact

if TYPE_CHECKING:
    import httpx

__all__ = ["POST_SECONDS", "Message", "NotTaken", "body_of", "post"]

POST_SECONDS = 10.0
"""How long an address of `alerts` may take to answer."""

_SHOWN_CHARACTERS = 100


class NotTaken(Exception):
    """An address did not take an alert; the text says why, and never where."""


@dataclass(frozen=True)
class Message:
    """What is told. `lens` is empty where it is no single lens; `over`: it is wrong no more."""

    over: bool
    project: str
    env: str
    lens: str
    kind: str
    message: str
    cure: str
    since: datetime
    at: datetime


def body_of(message: Message, form: AlertForm) -> dict[str, object]:
    """Return the JSON document that a form sends."""
    match form:
        case AlertForm.JSON:
            return {
                "state": "over" if message.over else "open",
                "project": message.project,
                "env": message.env,
                "lens": message.lens or None,
                "kind": message.kind,
                "message": redact(message.message),
                "cure": redact(message.cure),
                "since": utc_text(message.since),
                "at": utc_text(message.at),
            }
        case AlertForm.SLACK:
            return {"text": _for_slack(redact(_told(message)))}


def _told(message: Message) -> str:
    parts = (message.project, message.env, message.lens)
    where = " / ".join(part for part in parts if part)
    since = utc_text(message.since.replace(microsecond=0))
    if message.over:
        return f"Over: {where}: {message.kind}, since {since}. It was: {message.message}"
    cure = f"\nWhat to do: {message.cure}" if message.cure else ""
    return f"{where}: {message.message}{cure}\nSince {since}."


def _for_slack(text: str) -> str:
    # Slack takes these three for its own marks: a link, a mention of everybody, an entity.
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def post(to: AlertConfig, message: Message, environ: Mapping[str, str]) -> int:
    """Send a message to an address once, and to no other; return the status of its answer.

    Raises `NotTaken` for every answer but 2xx, for none within `POST_SECONDS`, and for a variable
    that is not set or holds no address.
    """
    import_httpx()
    import httpx

    try:
        url = httpx.URL(filled(to.url, environ, where=f"alerts: {to.shown}").strip())
    except ConfigError as error:
        raise NotTaken(str(error)) from None
    except httpx.InvalidURL:
        url = httpx.URL()
    if url.scheme not in ("http", "https") or not url.host:
        raise NotTaken(f"{to.shown} holds no address that begins with http:// or https://.")
    client = httpx.Client(timeout=POST_SECONDS, follow_redirects=False)
    try:
        with client:
            status, said = within(
                POST_SECONDS,
                lambda: _answer(client, url, body_of(message, to.form)),
                give_up=client.close,
            )
    except (TimeoutError, httpx.TimeoutException):
        raise NotTaken(f"It did not answer within {POST_SECONDS:g} s.") from None
    except (httpx.RequestError, RuntimeError) as error:
        # The words of the error may hold the address.
        raise NotTaken(f"It cannot be reached: {type(error).__name__}.") from None
    if 300 <= status < 400:
        raise NotTaken(f"It answered HTTP {status}, and a redirect is not followed.")
    if not 200 <= status < 300:
        raise NotTaken(f"It answered HTTP {status}{_shown(said, url)}.")
    return status


def _answer(client: httpx.Client, url: httpx.URL, body: Mapping[str, object]) -> tuple[int, bytes]:
    with unlogged(), client.stream("POST", url, json=body) as response:
        return response.status_code, next(response.iter_raw(4 * _SHOWN_CHARACTERS), b"")


def _shown(said: bytes, url: httpx.URL) -> str:
    """Return the beginning of an answer, unless it repeats a part of the address."""
    text = " ".join(said.decode("utf-8", "replace").split())[:_SHOWN_CHARACTERS]
    secrets = [*url.path.split("/"), *url.params.values(), url.password, url.username]
    if not text.isprintable() or any(part in text for part in secrets if len(part) > 3):
        return ""
    return f": {redact(text)}" if text else ""
