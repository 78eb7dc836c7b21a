"""The kinds of feeds there are: from a source's configuration to its feed, and to its setup."""

from __future__ import annotations

from contextlib import ExitStack

from semilayer_pipelines.bridges.opening import resolved
from semilayer_pipelines.config.models import Cdc, SourceConfig
from semilayer_pipelines.config.sizes import size_of
from semilayer_pipelines.follow.feed import Feed, Setup, Watched
from semilayer_pipelines.follow.postgres import Session
from semilayer_pipelines.project import Project
from semilayer_pipelines.registry.feeds import FeedRow

__all__ = ["open_feed", "open_setup"]


def open_feed(project: Project, config: SourceConfig, row: FeedRow, tables: Watched) -> Feed:
    """Open the feed of a source at the position that its row has.

    Raises `SourceUnreachable`, `SourceRefused` (nothing is installed, no rights) and `ConfigError`.
    """
    url = resolved(config.connection, row.source, project.environ)
    with ExitStack() as opened:  # until the feed has them, which closes them itself
        match row.kind:
            case Cdc.LOGICAL:
                from semilayer_pipelines.follow.logical.feed import LogicalFeed
                from semilayer_pipelines.follow.logical.server import Server

                server = Server(_session(url, config, row))
                opened.callback(server.close)
                most = size_of(config.max_slot_bytes)
                feed: Feed = LogicalFeed(server, row.name, tables, row.position, most)
            case Cdc.OUTBOX:
                from semilayer_pipelines.follow.outbox.feed import OutboxFeed

                session = _session(url, config, row)
                opened.callback(session.close)
                feed = OutboxFeed(session, row.name, tables, row.position)
            case Cdc.BINLOG:
                from semilayer_pipelines.follow.binlog.feed import BinlogFeed
                from semilayer_pipelines.follow.binlog.server import Server as BinlogServer

                # One for questions, and one for the thread that reads.
                asked = BinlogServer(url, source=row.source, timeout_ms=config.timeout)
                opened.callback(asked.close)
                reading = BinlogServer(url, source=row.source, timeout_ms=config.timeout)
                opened.callback(reading.close)
                feed = BinlogFeed(asked, reading, row.name, tables, row.position)
        opened.pop_all()
        return feed


def open_setup(project: Project, config: SourceConfig, row: FeedRow, tables: Watched) -> Setup:
    """Open what makes, checks and drops the feed of a source. Raises as `open_feed`."""
    url = resolved(config.connection, row.source, project.environ)
    match row.kind:
        case Cdc.LOGICAL:
            from semilayer_pipelines.follow.logical.server import Server
            from semilayer_pipelines.follow.logical.setup import LogicalSetup

            return LogicalSetup(Server(_session(url, config, row)), row.name, tables)
        case Cdc.OUTBOX:
            from semilayer_pipelines.follow.outbox.setup import OutboxSetup

            return OutboxSetup(_session(url, config, row), row.name, tables)
        case Cdc.BINLOG:
            from semilayer_pipelines.follow.binlog.server import Server as BinlogServer
            from semilayer_pipelines.follow.binlog.setup import BinlogSetup

            log = BinlogServer(url, source=row.source, timeout_ms=config.timeout)
            return BinlogSetup(log, tables)


def _session(url: str, config: SourceConfig, row: FeedRow) -> Session:
    return Session(url, source=row.source, cdc=row.kind, timeout_ms=config.timeout)
