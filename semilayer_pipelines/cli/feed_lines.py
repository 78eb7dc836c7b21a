"""How a feed stands, for people and as JSON."""

from __future__ import annotations

from datetime import datetime

from semilayer_pipelines.config.sizes import size_told
from semilayer_pipelines.counts import span, utc_text
from semilayer_pipelines.registry.feeds import FeedRow

__all__ = ["feed_json", "feed_line"]


def feed_line(row: FeedRow, now: datetime) -> str:
    """Return how a feed stands, in one line."""
    parts = [f"{row.source}: cdc {row.kind.value}"]
    if row.trouble is not None:
        parts.append(f"not read now: {row.trouble} {row.cure or ''}".rstrip())
    elif row.is_followed(now):
        parts.append(_behind(row))
    elif row.lag_at is None:
        parts.append("nobody has followed it yet: semilayer follow")
    else:
        ago = span((now - row.lag_at).total_seconds())
        parts.append(f"nobody has followed it for {ago}: semilayer follow")
    if row.changes:
        parts.append(f"{row.changes:,} changes so far")
    if row.restarted_at is not None:
        since = span((now - row.restarted_at).total_seconds())
        parts.append(f"started over {since} ago: {row.restarted_because}")
    return "; ".join(parts)


def feed_json(row: FeedRow) -> dict[str, object]:
    """Return how a feed stands, as it is printed with `--json`."""
    return {
        "source": row.source,
        "kind": row.kind.value,
        "name": row.name,
        "lagBytes": row.lag_bytes,
        "lagSeconds": row.lag_seconds,
        "seenAt": utc_text(row.lag_at) if row.lag_at else None,
        "changes": row.changes,
        "restarts": row.restarts,
        "restartedAt": utc_text(row.restarted_at) if row.restarted_at else None,
        "restartedBecause": row.restarted_because,
        "trouble": row.trouble,
        "cure": row.cure,
    }


def _behind(row: FeedRow) -> str:
    size = None if row.lag_bytes is None else size_told(row.lag_bytes)
    seconds = None if row.lag_seconds is None else span(row.lag_seconds)
    told = " and ".join(part for part in (size, seconds) if part is not None)
    return f"followed, {told} behind" if told else "followed"
