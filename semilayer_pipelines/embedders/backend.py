"""What computes the vectors: said in logs and in `status`, and recorded with a generation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

__all__ = ["Backend"]


@dataclass(frozen=True)
class Backend:
    """The library that runs a model (`openvino`, `torch`), its precision, and the device."""

    library: str
    precision: str
    device: str

    def __str__(self) -> str:
        return f"{self.library} {self.precision} on {self.device}"

    def as_json(self) -> dict[str, str]:
        """Return what the embedder service says of itself beside its vectors."""
        return {"backend": self.library, "precision": self.precision, "device": self.device}

    @classmethod
    def of_json(cls, said: Any) -> Self | None:
        """Read what `as_json` gave; `None` from a service that says nothing of the kind."""
        names = ("backend", "precision", "device")
        if not isinstance(said, dict) or not all(isinstance(said.get(name), str) for name in names):
            return None
        return cls(*(said[name] for name in names))
