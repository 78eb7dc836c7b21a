"""What can go wrong, on order: a fault is done `times` times and then forgotten."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import grpc


class Kind(Enum):
    """How a call goes wrong."""

    DELAY = "delay"  # `seconds` late, and right
    STATUS = "status"  # refused with `code`, nothing applied
    APPLIED = "applied"  # applied, and then answered with `code`
    RESET = "reset"  # the connection is cut before anything is applied
    APPLIED_RESET = "applied, reset"  # the connection is cut after it was applied
    OBJECTS = "objects"  # the objects whose key is in `keys`, or all, fail with `text`
    PARTIAL = "partial"  # a delete does only half of its work


@dataclass
class Fault:
    """One thing to go wrong with a verb: `Search`, `BatchObjects`, `BatchDelete`, `Aggregate`."""

    verb: str
    kind: Kind
    times: int = 1
    code: grpc.StatusCode = grpc.StatusCode.UNAVAILABLE
    text: str = "a fault of the test"
    seconds: float = 0.0
    keys: frozenset[str] = frozenset()


@dataclass
class Faults:
    """The faults that are still to come, and how often each verb was called."""

    waiting: list[Fault] = field(default_factory=list)
    calls: dict[str, int] = field(default_factory=dict)
    read_only: bool = False
    cut: Callable[[], None] = lambda: None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, verb: str, kind: Kind, **how: Any) -> None:
        self.waiting.append(Fault(verb, kind, **how))

    def next(self, verb: str) -> Fault | None:
        with self._lock:
            self.calls[verb] = self.calls.get(verb, 0) + 1
            for fault in self.waiting:
                if fault.verb == verb:
                    fault.times -= 1
                    if not fault.times:
                        self.waiting.remove(fault)
                    return fault
        return None

    def around(self, verb: str, context: grpc.ServicerContext, apply: Callable[[], Any]) -> Any:
        """Apply a call, with whatever is to go wrong with it."""
        fault = self.next(verb)
        if fault is None:
            return apply()
        match fault.kind:
            case Kind.DELAY:
                time.sleep(fault.seconds)
            case Kind.STATUS:
                context.abort(fault.code, fault.text)
            case Kind.APPLIED:
                apply()
                context.abort(fault.code, fault.text)
            case Kind.RESET:
                self.cut()
            case Kind.APPLIED_RESET:
                apply()
                self.cut()
        return apply()
