"""The two ways in which a call can fail: it may succeed later, or a person has to act.

Both carry the receipts of what was delivered; the rest stays in the client's buffer. Neither may
hold the key, nor a part of it that the service echoed.
"""

from __future__ import annotations

from semilayer_pipelines.client.responses import Receipt
from semilayer_pipelines.errors import Terminal, Transient

__all__ = ["DeliveryFailed", "RequestRefused"]


class DeliveryFailed(Transient):
    """The service did not answer, or kept saying "not now", until patience ran out.

    `receipts`: what this call delivered before it failed. `status`: the last answer's HTTP status,
    `None` when there was none. `retry_after`: seconds that the service asked to be left alone.
    """

    def __init__(
        self,
        message: str,
        *,
        cure: str = "",
        lens: str | None = None,
        status: int | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message, cure=cure, lens=lens)
        self.status = status
        self.retry_after = retry_after
        self.receipts: tuple[Receipt, ...] = ()


class RequestRefused(Terminal):
    """The service said no and will say no again; `code` is its own word for why.

    `receipts` and `status` as in `DeliveryFailed`.
    """

    def __init__(
        self, message: str, *, cure: str = "", lens: str | None = None, status: int, code: str
    ) -> None:
        super().__init__(message, cure=cure, lens=lens)
        self.status = status
        self.code = code
        self.receipts: tuple[Receipt, ...] = ()
