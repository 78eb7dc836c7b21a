"""OpenVINO without its telemetry: importing it reports to its makers, and nobody asked ours to.

Take `openvino` from here, only where the extra `fast` is installed.
"""

from __future__ import annotations

import sys
from functools import cache
from typing import Any

__all__ = ["core", "openvino"]

_TELEMETRY = "openvino_telemetry"

# OpenVINO does without the package where it is not installed, which is what this looks like.
_modules: dict[str, Any] = sys.modules
_modules.setdefault(_TELEMETRY, None)
try:
    import openvino
    import openvino.frontend
    import openvino.opset13
finally:
    if _modules[_TELEMETRY] is None:
        del _modules[_TELEMETRY]


@cache
def core() -> openvino.Core:
    """Return this process's only core; it lives as long as the process.

    The first model of a core makes its thread take signals on a stack of the core's own. A core
    that goes in another thread, or after a younger one, takes that stack away and leaves the thread
    pointing at it: the next signal, a Ctrl-C for instance, kills the process.
    """
    return openvino.Core()
