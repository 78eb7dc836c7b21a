"""Whether asking torch for an accelerator is worth the seconds that importing it takes."""

from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

__all__ = ["may_have_accelerator"]

_DEVICES = ("nvidiactl", "nvidia0", "kfd", "dxg", "dri/renderD128", "accel/accel0")


def may_have_accelerator() -> bool:
    """Say no only where there is none: torch is built for processors, or Linux has no device."""
    try:
        if version("torch").endswith("+cpu"):
            return False
    except PackageNotFoundError:
        return False
    return sys.platform != "linux" or any(Path("/dev", name).exists() for name in _DEVICES)
