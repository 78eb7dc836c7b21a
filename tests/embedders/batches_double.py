"""Files and batches of an endpoint, in OpenAI's form: what is sent waits until a test has it done.

It takes what OpenAI takes and refuses what it refuses: a file with a line twice or with too many
texts, and a batch beyond what the account may have queued.
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


@dataclass
class BatchesDouble:
    """Files by id and batches by id; `embed` makes the answer to each line.

    Of the requests that begin with the method and path in `lost`, the next so many are done and
    answered with 502; those in `refused` get that answer. `queued` is how many texts the account
    may have queued at a time, `pages` how many items one page of a list has. `asked` counts
    requests by method and kind, `paid` the texts that batches embedded.
    """

    embed: Embed
    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    contents: dict[str, bytes] = field(default_factory=dict)
    batches: dict[str, dict[str, Any]] = field(default_factory=dict)
    lost: Counter[str] = field(default_factory=Counter)
    asked: Counter[str] = field(default_factory=Counter)
    paid: Counter[str] = field(default_factory=Counter)
    queued: int = 10**9
    most_texts: int = 50_000
    pages: int = 100
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
        lines = self.contents[batch["input_file_id"]].splitlines()
        return [text for line in lines for text in json.loads(line)["body"]["input"]]

    def do(self, batch: dict[str, Any], *, status: str = "completed", most: int = 10**9) -> None:
        """End a batch; `most` of its lines are done, and the others are not."""
        lines = [json.loads(line) for line in self.contents[batch["input_file_id"]].splitlines()]
        done: list[Any] = []
        failed: list[Any] = []
        for line in lines[:most]:
            answer = self.embed(line["body"])
            self.paid.update(line["body"]["input"] if answer.status_code == 200 else ())
            told = {"status_code": answer.status_code, "body": json.loads(bytes(answer.body))}
            told = {"custom_id": line["custom_id"], "response": told, "error": None}
            (done if answer.status_code == 200 else failed).append(told)
        for name, part in (("output_file_id", done), ("error_file_id", failed)):
            if part:
                text = "\n".join(map(json.dumps, part[::-1]))
                batch[name] = self._new_file(f"{batch['id']}_{name}.jsonl", text.encode())["id"]
        batch["status"] = status
        batch["request_counts"] |= {"completed": len(done), "failed": len(failed)}

    def do_all(self) -> int:
        """End all batches under way; return how many."""
        waiting = self.of("in_progress")
        for one in waiting:
            self.do(one)
        return len(waiting)

    def fail(self, batch: dict[str, Any], code: str, said: str) -> None:
        """Fail a batch as a whole."""
        batch["status"] = "failed"
        batch["errors"] = {"object": "list", "data": [{"code": code, "message": said}]}

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
            return self._list([*self.files.values()], request)
        form = await request.form()
        assert form["purpose"] == "batch"
        sent: Any = form["file"]
        return JSONResponse(self._new_file(sent.filename, await sent.read()))

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
            return self._list([*self.batches.values()], request)
        asked = await request.json()
        assert asked["endpoint"] == "/v1/embeddings"
        assert asked["completion_window"] == "24h"
        new: dict[str, Any] = {
            "id": self._id("batch"),
            "object": "batch",
            "status": "in_progress",
            "input_file_id": asked["input_file_id"],
            "output_file_id": None,
            "error_file_id": None,
            "errors": None,
            "expires_at": 1_714_651_200,
            "metadata": asked["metadata"],
        }
        lines = [json.loads(line) for line in self.contents[asked["input_file_id"]].splitlines()]
        new["request_counts"] = {"total": len(lines), "completed": 0, "failed": 0}
        texts = len(self.texts_of(new))
        queued = sum(len(self.texts_of(one)) for one in self.of("in_progress"))
        self.batches[new["id"]] = new
        if len({line["custom_id"] for line in lines}) < len(lines):
            self.fail(new, "duplicate_custom_id", "The custom_id is not unique.")
        elif any(line["url"] != "/v1/embeddings" for line in lines) or texts > self.most_texts:
            self.fail(new, "invalid_file", "The file is not valid.")
        elif queued + texts > self.queued:
            self.fail(new, "token_limit_exceeded", "Enqueued token limit reached.")
        return JSONResponse(new)

    async def batch(self, request: Request) -> Response:
        found = self.batches.get(request.path_params["id"])
        return self._missing() if found is None else JSONResponse(found)

    async def cancel(self, request: Request) -> Response:
        found = self.batches[request.path_params["id"]]
        if found["status"] not in ("in_progress", "queued"):
            return JSONResponse({"error": {"message": f"it is {found['status']}"}}, 409)
        found["status"] = "cancelled"
        return JSONResponse(found)

    def _list(self, items: list[dict[str, Any]], request: Request) -> Response:
        newest = items[::-1]
        ids = [one["id"] for one in newest]
        after = request.query_params.get("after")
        start = ids.index(after) + 1 if after else 0
        page = newest[start : start + self.pages]
        more = start + self.pages < len(newest)
        return JSONResponse({"object": "list", "data": page, "has_more": more})

    def _new_file(self, name: str, content: bytes) -> dict[str, Any]:
        file: dict[str, Any] = {"id": self._id("file"), "filename": name, "bytes": len(content)}
        self.files[file["id"]], self.contents[file["id"]] = file, content
        return file

    def _id(self, kind: str) -> str:
        self._number += 1
        return f"{kind}-{self._number}"

    def _missing(self) -> Response:
        return JSONResponse({"error": {"message": "There is no such thing."}}, 404)
