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
    KILLED = "killed"  # the server dies when the objects are stored; `hide` vectors are lost


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
    hide: int = 25


@dataclass
class Faults:
    """The faults that are still to come, and how often each verb was called."""

    waiting: list[Fault] = field(default_factory=list)
    calls: dict[str, int] = field(default_factory=dict)
    levels: set[str] = field(default_factory=set)  # of consistency that were asked for
    cut: Callable[[], None] = lambda: None
    kill: Callable[[Fault], None] = lambda _: None
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

    def around(
        self, verb: str, context: grpc.ServicerContext, apply: Callable[[Fault | None], Any]
    ) -> Any:
        """Apply a call, with whatever is to go wrong with it; `apply` is told what that is."""
        fault = self.next(verb)
        if fault is None:
            return apply(None)
        match fault.kind:
            case Kind.DELAY:
                time.sleep(fault.seconds)
            case Kind.STATUS:
                context.abort(fault.code, fault.text)
            case Kind.APPLIED:
                apply(fault)
                context.abort(fault.code, fault.text)
            case Kind.RESET:
                self.cut()
                context.abort(fault.code, fault.text)
            case Kind.APPLIED_RESET:
                apply(fault)
                self.cut()
                context.abort(fault.code, fault.text)
        return apply(fault)
