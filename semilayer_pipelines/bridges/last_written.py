"""When a source was last written to, where that costs nothing to know.

A SQLite file tells by its times. One of them cannot be set: a file that is restored keeps the time
of its last change, but not that of its coming here. Servers do not tell: their counters come late,
or not at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from semilayer_pipelines.bridges.opening import resolved
from semilayer_pipelines.config.database_url import database_url
from semilayer_pipelines.config.models import SourceConfig
from semilayer_pipelines.errors import ConfigError

__all__ = ["last_written"]

_BESIDE = ("", "-wal", "-journal")


def last_written(config: SourceConfig, *, name: str, environ: Mapping[str, str]) -> datetime | None:
    """Return when the file of a SQLite source was last written to, `None` for any other source.

    Also `None` for a file that is not there and a connection that cannot be read: whoever opens the
    source tells what is wrong.
    """
    try:
        url = database_url(resolved(config.connection, name, environ), where=name)
    except ConfigError:
        return None
    if url.kind != "sqlite" or not url.database:
        return None
    files = [Path(url.database + ending) for ending in _BESIDE]
    try:
        # The file itself must be there; what lies beside it comes and goes.
        times = [files[0].stat(), *(file.stat() for file in files[1:] if file.exists())]
    except OSError:
        return None
    return datetime.fromtimestamp(max(max(t.st_mtime, t.st_ctime) for t in times), UTC)
