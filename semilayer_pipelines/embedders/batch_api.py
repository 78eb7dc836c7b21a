"""Files of texts that a provider embeds in its own time, at a lower price: OpenAI's batches.

`POST /files` takes a line for each text, `POST /batches` has them embedded, and a file of answers
lies ready within 24 hours. A batch bears an id of ours (`ours`) in its metadata and in the name of
its file: so a batch is found again whose creation was answered to nobody.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from tempfile import SpooledTemporaryFile
from typing import IO, Any

import xxhash
from pydantic_core import from_json, to_json

from semilayer_pipelines.embedders.answer import error_text
from semilayer_pipelines.embedders.endpoint import Endpoint, NoRoom
from semilayer_pipelines.embedders.event_loop import run
from semilayer_pipelines.embedders.refusals import tells_of_no_room
from semilayer_pipelines.errors import ConfigError, EmbedderUnavailable

__all__ = ["MAX_LISTED", "BatchApi", "RemoteBatch", "batches_of", "text_id"]

MAX_LISTED = 1_000
"""Batches, and files, of an account that are looked at for one of ours; the newest come first."""

_A_PAGE = 100
_BEGINNING = 100  # bytes of a file, enough to tell it from a page
_IN_MEMORY = 1_000_000  # bytes of a file of errors
_OURS = "semilayer"
_FAILED = "failed"
_CANCELLING = "cancelling"
_ENDED = frozenset({"completed", _FAILED, "expired", "cancelled"})


@dataclass(frozen=True)
class RemoteBatch:
    """A batch as the provider has it; `done` counts texts, those that failed too.

    `said` is what it says of a batch that failed as a whole. `full`: that was because the account
    has as much queued as it may. Such a one has no `id` if the provider did not take it at all.
    """

    id: str
    status: str
    done: int
    input_file: str
    output_file: str | None
    error_file: str | None
    expires_at: datetime | None
    said: str
    full: bool

    @classmethod
    def not_taken(cls, file: str, said: str = "") -> RemoteBatch:
        """Return what stands for a batch of this file for which there was no room at once."""
        return cls("", _FAILED, 0, file, None, None, None, said, full=True)

    @property
    def ended(self) -> bool:
        """Whether nothing more comes of it."""
        return self.status.lower() in _ENDED

    @property
    def files(self) -> tuple[str, ...]:
        """All its files."""
        return tuple(filter(None, (self.input_file, self.output_file, self.error_file)))


def text_id(text: str) -> str:
    """Return what a text is known by in files: the digest of its 128-bit hash."""
    return xxhash.xxh3_128_hexdigest(text.encode(errors="surrogatepass"))


def batches_of(embedder: object) -> BatchApi:
    """Return the batches of an embedder whose configuration asks for them."""
    found: BatchApi | None = getattr(embedder, "batches", None)
    if found is None:
        raise ConfigError("embedding: 'batch' is set, and this embedder has no batches.")
    return found


class BatchApi:
    """Batches of one endpoint, model and key; `body` makes the request that embeds one text.

    Its methods raise `EmbedderUnavailable` while nobody answers, `ModelUnavailable` for a refusal,
    and `ConfigError` for the key and for an endpoint without batches.
    """

    def __init__(self, endpoint: Endpoint, body: Callable[[str], dict[str, object]]) -> None:
        self._endpoint = endpoint
        self._body = body

    @property
    def shown(self) -> str:
        """The address of its embeddings, for messages."""
        return self._endpoint.shown

    def line(self, text: str) -> bytes:
        """Return the line of a file that asks for the vector of a text."""
        asked = {
            "custom_id": text_id(text),
            "method": "POST",
            "url": "/v1/embeddings",
            "body": self._body(text),
        }
        return json.dumps(asked, separators=(",", ":")).encode() + b"\n"

    def require(self) -> None:
        """Raise `ConfigError` for an endpoint that has no batches."""
        if self._asked("GET", "/batches", any_404=True, params={"limit": 1}) is None:
            raise ConfigError(
                f"embedding: 'batch' is set, and {self.shown} has no batches beside it.",
                cure="Take 'batch: true' out and push. The vectors are then asked for at once.",
            )

    def find(self, ours: str) -> RemoteBatch | None:
        """Return the batch with this id of ours; `None` where there is none."""
        with self._as_openai():
            for item in self._listed("/batches", {}):
                if (item.get("metadata") or {}).get(_OURS) == ours:
                    return self._read(item)
        return None

    def find_file(self, ours: str) -> str | None:
        """Return the id of the file that was sent for this id of ours; `None` without one."""
        files = self._listed("/files", {"purpose": "batch"})
        with self._as_openai():
            return next(
                (str(file["id"]) for file in files if file.get("filename") == _name(ours)), None
            )

    def send(self, ours: str, lines: IO[bytes]) -> str:
        """Send a file of lines; return its id. It is sent once."""
        lines.seek(0)
        files = {"file": (_name(ours), lines, "application/jsonl")}
        said = self._answer("POST", "/files", once=True, data={"purpose": "batch"}, files=files)
        with self._as_openai():
            return str(said["id"])

    def create(self, ours: str, file: str) -> RemoteBatch:
        """Have a file embedded; return the batch, also one that is not taken for want of room.

        It is asked once: who gets no answer looks for the batch first.
        """
        asked = {
            "input_file_id": file,
            "endpoint": "/v1/embeddings",
            "completion_window": "24h",
            "metadata": {_OURS: ours},
        }
        try:
            said = self._answer("POST", "/batches", once=True, json=asked)
        except NoRoom as full:
            return RemoteBatch.not_taken(file, full.message)
        with self._as_openai():
            return self._read(said)

    def get(self, batch: str) -> RemoteBatch | None:
        """Return a batch by the provider's id; `None` when it is there no more."""
        found = self._asked("GET", f"/batches/{batch}")
        with self._as_openai():
            return None if found is None else self._read(found)

    def fetch(self, file: str, into: IO[bytes]) -> bool:
        """Write what a file of lines holds; `False` when it is there no more."""
        if run(self._endpoint.call("GET", f"/files/{file}/content", into=into)) is None:
            return False
        into.seek(0)
        # A page in its place must not pass for a batch without answers, whose texts are paid again.
        if into.read(_BEGINNING).lstrip()[:1] not in (b"", b"{"):
            raise self._something_else()
        return True

    def first_error(self, file: str) -> str:
        """Return why a text has no vector, as a file of errors says; nothing without the file."""
        with SpooledTemporaryFile(_IN_MEMORY) as lines:
            if not self.fetch(file, lines):
                return ""
            lines.seek(0)
            line = lines.readline()
        with self._as_openai():
            said = from_json(line)
            of_line = {"error": said["error"]} if said.get("error") else said["response"]["body"]
            return error_text(to_json(of_line), self._endpoint.clean)

    def cancel(self, batch: RemoteBatch) -> None:
        """End a batch, unless it is about to end for that: it takes some minutes."""
        if batch.status.lower() != _CANCELLING:
            run(self._endpoint.call("POST", f"/batches/{batch.id}/cancel"))

    def delete(self, file: str) -> None:
        """Delete a file, if it is there."""
        run(self._endpoint.call("DELETE", f"/files/{file}"))

    @contextmanager
    def _as_openai(self) -> Iterator[None]:
        """Read what has OpenAI's form; raise `EmbedderUnavailable` where it has another."""
        try:
            yield
        except (AttributeError, LookupError, TypeError, ValueError, OverflowError):
            raise EmbedderUnavailable(
                f"{self.shown}: what it says of batches is not what OpenAI says of them.",
                cure="Take 'batch: true' out if the endpoint has batches of another form.",
            ) from None

    def _read(self, item: dict[str, Any]) -> RemoteBatch:
        counts = item.get("request_counts") or {}
        errors = (item.get("errors") or {}).get("data") or []
        until = item.get("expires_at")
        return RemoteBatch(
            id=str(item["id"]),
            status=str(item.get("status")),
            done=int(counts.get("completed") or 0) + int(counts.get("failed") or 0),
            input_file=str(item.get("input_file_id")),
            # An empty text stands for a file that there is not, too.
            output_file=item.get("output_file_id") or None,
            error_file=item.get("error_file_id") or None,
            expires_at=datetime.fromtimestamp(until, UTC) if until else None,
            said=self._endpoint.clean("; ".join(str(error.get("message")) for error in errors[:3])),
            full=any(map(tells_of_no_room, errors)),
        )

    def _listed(self, path: str, which: dict[str, Any]) -> Iterator[dict[str, Any]]:
        after: dict[str, Any] = {}
        for _ in range(MAX_LISTED // _A_PAGE):
            page = self._asked("GET", path, params={"limit": _A_PAGE, **which, **after}) or {}
            items = page.get("data") or []
            yield from items
            if not (items and page.get("has_more")):
                return
            after = {"after": items[-1]["id"]}

    def _answer(self, method: str, path: str, **sent: Any) -> dict[str, Any]:
        found = self._asked(method, path, **sent)
        if found is None:
            raise EmbedderUnavailable(f"{self.shown}: there is nothing to be had at {path}.")
        return found

    def _asked(self, method: str, path: str, **sent: Any) -> dict[str, Any] | None:
        answer = run(self._endpoint.call(method, path, **sent))
        if answer is None:
            return None
        try:
            said = from_json(answer)
        except ValueError:
            said = None
        if isinstance(said, dict):
            return said
        raise self._something_else()

    def _something_else(self) -> EmbedderUnavailable:
        return EmbedderUnavailable(
            f"Something else answers in place of {self.shown}.",
            cure="Check the network's proxy, and 'embedding.url'; it is tried again.",
        )


def _name(ours: str) -> str:
    return f"{_OURS}-{ours}.jsonl"
