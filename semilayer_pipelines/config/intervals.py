"""How often a lens may be synced by itself."""

from __future__ import annotations

from typing import Literal

__all__ = ["SYNC_INTERVALS", "SyncInterval"]

SyncInterval = Literal["1m", "5m", "15m", "30m", "1h", "6h", "24h"]
SYNC_INTERVALS: dict[str, int] = {
    "1m": 60,
    "5m": 300,
    "15m": 900,
    "30m": 1800,
    "1h": 3600,
    "6h": 21600,
    "24h": 86400,
}
"""Every sync interval and its length in seconds."""
