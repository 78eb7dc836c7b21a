"""Reading the heads of requests within bounds: their bytes, and the seconds that one may take.

The server bounds neither, so that a caller who sends a byte a minute would keep a connection for
good, and one who never ends a header fill the memory. The headers that may follow a body, its
trailers, are kept beside those of the head, and bounded like it. Bodies are bounded by
`http.bodies`.
"""

from __future__ import annotations

import asyncio
import json
from http import HTTPStatus

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

__all__ = ["HEAD_SECONDS", "MAX_HEAD_BYTES", "BoundedHeads"]

MAX_HEAD_BYTES = 64 * 1024
HEAD_SECONDS = 20.0
"""From the connection, or the first byte of a further request, to the end of its head."""

_END = b"\r\n\r\n"


class BoundedHeads(HttpToolsProtocol):
    """uvicorn's protocol; a caller beyond the bounds is told so, and the connection closed."""

    _in_head = True
    _head_bytes = 0
    _bytes_beside = 0  # of a body, that came since a part of it: ends of chunks, or trailers
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a head."""
        super().connection_made(transport)
        self._expect()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        super().connection_lost(exc)
        self._expect_no_more()

    def data_received(self, data: bytes) -> None:
        """Take what came, unless it makes the head too long."""
        if self._in_head:
            self._expect()
            end = data.find(_END)
            self._head_bytes += len(data) if end < 0 else end
            if self._head_bytes > MAX_HEAD_BYTES:
                status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
                self._refuse(status, f"The head is longer than {MAX_HEAD_BYTES // 1024} KiB.")
                return
        elif self.cycle is not None and self.cycle.response_complete:
            # The rest of a body that was answered before it had arrived: nobody waits for it.
            self._expect()
        self._bytes_beside += len(data)
        super().data_received(data)
        if not self._in_head and self._bytes_beside > MAX_HEAD_BYTES:
            self._end_trailers()

    def on_body(self, body: bytes) -> None:
        """Take a part of a body."""
        self._bytes_beside = 0
        super().on_body(body)

    def on_headers_complete(self) -> None:
        """Leave the rest to whoever reads the body."""
        self._in_head, self._head_bytes, self._bytes_beside = False, 0, 0
        self._expect_no_more()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Be ready for the next head; a caller may keep the connection idle before it."""
        self._in_head = True
        self._expect_no_more()
        super().on_message_complete()

    def _expect(self) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(HEAD_SECONDS, self._too_late)

    def _expect_no_more(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _too_late(self) -> None:
        if self._in_head and self._head_bytes:
            status = HTTPStatus.REQUEST_TIMEOUT
            self._refuse(status, f"The head did not arrive within {HEAD_SECONDS:.0f} s.")
        else:
            self.transport.close()

    def _end_trailers(self) -> None:
        if self.cycle is not None and not self.cycle.response_started:
            status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
            self._refuse(status, f"The trailers are longer than {MAX_HEAD_BYTES // 1024} KiB.")
        else:
            self.transport.close()

    def _refuse(self, status: HTTPStatus, message: str) -> None:
        body = json.dumps({"error": {"code": "bad_request", "message": message}}).encode()
        if not self.transport.is_closing():
            self.transport.write(
                f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-type: application/json\r\n"
                f"content-length: {len(body)}\r\nconnection: close\r\n\r\n".encode()
                + body
            )
            self.transport.close()
