"""What computes the vectors: said in logs and in `status`, and recorded with a generation."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Running"]


@dataclass(frozen=True)
class Running:
    """A backend (`openvino`, `torch`), the precision it computes in, and the device."""

    backend: str
    precision: str
    device: str

    def __str__(self) -> str:
        return f"{self.backend} {self.precision} on {self.device}"
