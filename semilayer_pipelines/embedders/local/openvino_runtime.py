"""OpenVINO without its telemetry: importing it reports to its makers, and nobody asked ours to.

Take `openvino` from here, only where the extra `fast` is installed.
"""

from __future__ import annotations

import sys
from typing import Any

__all__ = ["openvino"]

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
