"""Files and batches of an endpoint, in OpenAI's form: what is sent waits until a test has it done.

It takes what OpenAI's documentation takes and refuses what that refuses. A batch is `validating` in
the answer to whoever creates it, without the time at which it expires; what is wrong with its file,
or with what the account has queued, shows later. One that is cancelled is `cancelling` at first.
OpenAI's own client took its answers with `_strict_response_validation` (openai 3.57.0).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

Embed = Callable[[dict[str, Any]], Response]
"""Answers the body of a request for embeddings."""

CREATED_AT, EXPIRES_AT = 1_714_564_800, 1_714_651_200
MOST_BYTES = 200_000_000
ENQUEUED = (
    "Enqueued token limit reached for m in organization org-1. Limit: 90,000 enqueued tokens. "
    "Please try again once some in_progress batches have been completed."
)


@dataclass
class BatchesDouble:
    """Files by id and batches by id; `embed` makes the answer to each line.

    Of the requests that begin with the method and path in `lost`, the next so many are done and
    answered with 502; those in `refused` get that answer. `queued` is how many texts the account
    may have queued at a time; with `says_so_at_once` it is the creation of a batch that is refused,
    with this status. `pages` is how many items one page of a list has at most, and `absent` what
    stands for a file that there is not. `asked` counts requests by method and kind, `paid` the
    texts that batches embedded.
    """

    embed: Embed
    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    contents: dict[str, bytes] = field(default_factory=dict)
    batches: dict[str, dict[str, Any]] = field(default_factory=dict)
    lost: Counter[str] = field(default_factory=Counter)
    asked: Counter[str] = field(default_factory=Counter)
    paid: Counter[str] = field(default_factory=Counter)
    queued: int = 10**9
    says_so_at_once: int | None = None
    most_texts: int = 50_000
    pages: int = 100
    absent: str | None = None
    refused: dict[str, Response] = field(default_factory=dict)
    _number: int = 0

    def routes(self) -> list[Route]:
        return [
            self._route("/files", self.files_, "GET", "POST"),
            self._route("/files/{id}", self.delete, "DELETE"),
            self._route("/files/{id}/content", self.content, "GET"),
            self._route("/batches", self.batches_, "GET", "POST"),
            self._route("/batches/{id}", self.batch, "GET"),
            self._route("/batches/{id}/cancel", self.cancel, "POST"),
        ]

    def of(self, *statuses: str) -> list[dict[str, Any]]:
        """Return the batches that are in one of these states, in the order of their creation."""
        return [one for one in self.batches.values() if one["status"] in statuses]

    def texts_of(self, batch: dict[str, Any]) -> list[str]:
        """Return the texts of a batch."""
        return [text for line in self._lines(batch) for text in line["body"]["input"]]

    def do(self, batch: dict[str, Any], *, status: str = "completed", most: int = 10**9) -> None:
        """End a batch; `most` of its lines are done, and the others are not."""
        lines = self._lines(batch)
        done: list[Any] = []
        failed: list[Any] = []
        for line in lines[:most]:
            answer = self.embed(line["body"])
            self.paid.update(line["body"]["input"] if answer.status_code == 200 else ())
            told = {"status_code": answer.status_code, "request_id": "r"}
            told |= {"body": json.loads(bytes(answer.body))}
            (done if answer.status_code == 200 else failed).append(self._line(line, told, None))
        batch["request_counts"] |= {"completed": len(done), "failed": len(failed)}
        if status == "expired":
            late = {"code": "batch_expired", "message": "It could not be executed in time."}
            failed += [self._line(line, None, late) for line in lines[most:]]
        for name, part in (("output_file_id", done), ("error_file_id", failed)):
            if part:
                text = "".join(f"{json.dumps(line)}\n" for line in part[::-1])
                file = f"{batch['id']}_{name}.jsonl"
                batch[name] = self._new_file(file, text.encode(), "batch_output")["id"]
        batch["status"] = status

    def do_all(self) -> int:
        """End all batches under way; return how many."""
        waiting = self.of("in_progress")
        for one in waiting:
            self.do(one)
        return len(waiting)

    def end_cancelling(self) -> int:
        """Let what is being cancelled be cancelled; return how many."""
        ending = self.of("cancelling")
        for one in ending:
            one["status"] = "cancelled"
        return len(ending)

    def fail(self, batch: dict[str, Any], code: str | None, said: str) -> None:
        """Fail a batch as a whole."""
        error = {"code": code, "line": None, "message": said, "param": None}
        batch["status"] = "failed"
        batch["errors"] = {"object": "list", "data": [error]}

    def _route(self, path: str, do: Callable[..., Any], *methods: str) -> Route:
        async def answer(request: Request) -> Response:
            name = f"{request.method} {path}"
            self.asked[name] += 1
            if name in self.refused:
                return self.refused[name]
            done: Response = await do(request)
            if self.lost[name] > 0:
                self.lost[name] -= 1
                return JSONResponse({"error": {"message": "bad gateway"}}, 502)
            return done

        return Route(f"/v1{path}", answer, methods=list(methods))

    async def files_(self, request: Request) -> Response:
        if request.method == "GET":
            purpose = request.query_params.get("purpose")
            files = [one for one in self.files.values() if purpose in (None, one["purpose"])]
            return self._list(files, request, most=10_000)
        form = await request.form()
        sent: Any = form["file"]
        content = await sent.read()
        if form["purpose"] != "batch" or not sent.filename.endswith(".jsonl"):
            return _refusal(400, "Invalid file format for Batch API. Must be .jsonl")
        if len(content) > MOST_BYTES:
            return _refusal(413, "File is too large.")
        return JSONResponse(self._new_file(sent.filename, content, "batch"))

    async def delete(self, request: Request) -> Response:
        file = request.path_params["id"]
        if self.files.pop(file, None) is None:
            return self._missing()
        del self.contents[file]
        return JSONResponse({"id": file, "object": "file", "deleted": True})

    async def content(self, request: Request) -> Response:
        file = request.path_params["id"]
        return Response(self.contents[file]) if file in self.contents else self._missing()

    async def batches_(self, request: Request) -> Response:
        if request.method == "GET":
            return self._list([*self.batches.values()], request, most=100)
        asked = await request.json()
        if asked["endpoint"] != "/v1/embeddings" or asked["completion_window"] != "24h":
            return _refusal(400, "Invalid value: 'endpoint' or 'completion_window'.")
        if not _is_metadata(asked["metadata"]):
            return _refusal(400, "Invalid 'metadata'.")
        if asked["input_file_id"] not in self.contents:
            return _refusal(400, f"No such File object: {asked['input_file_id']}")
        new: dict[str, Any] = {
            "id": self._id("batch"),
            "object": "batch",
            "endpoint": asked["endpoint"],
            "status": "validating",
            "input_file_id": asked["input_file_id"],
            "completion_window": asked["completion_window"],
            "output_file_id": self.absent,
            "error_file_id": self.absent,
            "errors": None,
            "created_at": CREATED_AT,
            "expires_at": None,
            "request_counts": {"total": 0, "completed": 0, "failed": 0},
            "metadata": asked["metadata"],
        }
        full = self._is_full(new)
        if full and self.says_so_at_once:
            return _refusal(self.says_so_at_once, ENQUEUED, code="token_limit_exceeded")
        answer = JSONResponse(new)
        self.batches[new["id"]] = new
        self._validate(new, full=full)
        return answer

    def _is_full(self, new: dict[str, Any]) -> bool:
        queued = sum(len(self.texts_of(one)) for one in self.of("in_progress"))
        return queued + len(self.texts_of(new)) > self.queued

    def _validate(self, new: dict[str, Any], *, full: bool) -> None:
        lines = self._lines(new)
        bodies = [line["body"] for line in lines]
        if len({line["custom_id"] for line in lines}) < len(lines):
            self.fail(new, "duplicate_custom_id", "The custom_id is not unique.")
        elif any(len(line["custom_id"]) > 64 for line in lines):
            self.fail(new, "invalid_custom_id", "The custom_id is too long.")
        elif any((line["method"], line["url"]) != ("POST", new["endpoint"]) for line in lines):
            self.fail(new, "invalid_url", "The URL is not that of the batch.")
        elif len({body["model"] for body in bodies}) > 1:
            self.fail(new, "mismatched_model", "All requests must have the same model.")
        elif not lines or len(self.texts_of(new)) > self.most_texts:
            self.fail(new, "too_many_tasks", "The file has no requests, or too many.")
        elif full:
            self.fail(new, "token_limit_exceeded", ENQUEUED)
        else:
            new["request_counts"] = {"total": len(lines), "completed": 0, "failed": 0}
            new |= {"status": "in_progress", "expires_at": EXPIRES_AT}

    async def batch(self, request: Request) -> Response:
        found = self.batches.get(request.path_params["id"])
        return self._missing() if found is None else JSONResponse(found)

    async def cancel(self, request: Request) -> Response:
        found = self.batches[request.path_params["id"]]
        if found["status"] not in ("in_progress", "finalizing", "queued"):
            return _refusal(409, f"Cannot cancel a batch with status '{found['status']}'.")
        found["status"] = "cancelling"
        return JSONResponse(found)

    def _list(self, items: list[dict[str, Any]], request: Request, *, most: int) -> Response:
        limit = int(request.query_params.get("limit", 20))
        if not 1 <= limit <= most:
            return _refusal(400, f"Invalid 'limit': it is 1 to {most}.")
        newest = items[::-1]
        ids = [one["id"] for one in newest]
        after = request.query_params.get("after")
        start = ids.index(after) + 1 if after else 0
        end = start + min(self.pages, limit)
        more = end < len(newest)
        return JSONResponse({"object": "list", "data": newest[start:end], "has_more": more})

    def _lines(self, batch: dict[str, Any]) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.contents[batch["input_file_id"]].splitlines()]

    def _line(self, of: dict[str, Any], response: Any, error: Any) -> dict[str, Any]:
        told = {"custom_id": of["custom_id"], "response": response, "error": error}
        return {"id": self._id("batch_req"), **told}

    def _new_file(self, name: str, content: bytes, purpose: str) -> dict[str, Any]:
        file: dict[str, Any] = {"id": self._id("file"), "object": "file", "filename": name}
        file |= {"bytes": len(content), "purpose": purpose, "status": "processed"}
        file |= {"created_at": CREATED_AT}
        self.files[file["id"]], self.contents[file["id"]] = file, content
        return file

    def _id(self, kind: str) -> str:
        self._number += 1
        return f"{kind}-{self._number}"

    def _missing(self) -> Response:
        return _refusal(404, "There is no such thing.")


def _refusal(status: int, said: str, *, code: str | None = None) -> Response:
    told = {"message": said, "type": "invalid_request_error", "param": None, "code": code}
    return JSONResponse({"error": told}, status)


def _is_metadata(said: dict[str, Any]) -> bool:
    """Say whether it is what OpenAI takes: 16 pairs of short texts."""
    pairs = said.items()
    return len(pairs) <= 16 and all(
        isinstance(value, str) and len(key) <= 64 and len(value) <= 512 for key, value in pairs
    )
