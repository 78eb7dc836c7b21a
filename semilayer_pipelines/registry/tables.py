"""The registry's tables, as the code of this version expects them.

The migrations make them; a test holds the two together. Names start with `sl_` because Dagster's
own storage, which may share the database, has a table `jobs` and an `alembic_version` of its own.

"At most one" rules are unique columns that are NULL unless the row occupies the place: `slot`,
`sweep_slot`, `building_slot`, `active_slot`.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    false,
    text,
)

from semilayer_pipelines.registry.types import BIG_ID, CountsJson, UtcDateTime

__all__ = [
    "alerts",
    "api_keys",
    "batches",
    "buffers",
    "calls",
    "changes",
    "cursors",
    "described",
    "dropped_indexes",
    "environments",
    "failed_rows",
    "feeds",
    "generations",
    "heartbeats",
    "index_stamps",
    "jobs",
    "lenses",
    "marked_rows",
    "metadata",
    "page_log",
    "quiet",
    "sessions",
    "shards",
    "sources",
    "walks",
]

metadata = MetaData(
    naming_convention={
        "pk": "%(table_name)s_pk",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "fk": "%(table_name)s_%(column_0_N_name)s_fk",
        "ix": "%(table_name)s_%(column_0_N_name)s_ix",
    }
)


def _lens_id(*, primary_key: bool = False) -> Column[int]:
    owner = ForeignKey("sl_lenses.id", ondelete="CASCADE")
    return Column("lens_id", Integer, owner, primary_key=primary_key, nullable=False)


environments = Table(
    "sl_environments",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("slug", Text, nullable=False, unique=True),
    Column("created_at", UtcDateTime, nullable=False),
    Column("tier", Text),
    # Whom it tells: `registry.alerts.Addresses`.
    Column("alerts", JSON(none_as_null=True)),
)

# What is wrong, by who is told: see `registry.alerts`.
alerts = Table(
    "sl_alerts",
    metadata,
    Column("env_id", ForeignKey("sl_environments.id", ondelete="CASCADE"), primary_key=True),
    Column("target", Text, primary_key=True),
    Column("lens", Text, primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("since", UtcDateTime, nullable=False),
    Column("message", Text, nullable=False),
    Column("cure", Text, nullable=False),
    Column("told_at", UtcDateTime),
    Column("well_since", UtcDateTime),
    Column("over", Boolean, nullable=False, server_default=false()),
    Column("due_at", UtcDateTime, nullable=False),
    Column("next_try_at", UtcDateTime),
    Column("tries", Integer, nullable=False, server_default=text("0")),
    Column("trouble", Text),
)

api_keys = Table(
    "sl_api_keys",
    metadata,
    Column("id", Text, primary_key=True),
    Column("env_id", ForeignKey("sl_environments.id", ondelete="CASCADE"), nullable=False),
    Column("kind", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("last_used_at", UtcDateTime),
    Column("revoked_at", UtcDateTime),
    Index(None, "env_id"),
)

# Who is signed in to the console: a row for each key that was shown.
sessions = Table(
    "sl_sessions",
    metadata,
    Column("digest", Text, primary_key=True),
    Column("key_id", ForeignKey("sl_api_keys.id", ondelete="CASCADE"), primary_key=True),
    Column("created_at", UtcDateTime, nullable=False),
    Index(None, "created_at"),
)

# When a program that the others depend on was last at work.
heartbeats = Table(
    "sl_heartbeats",
    metadata,
    Column("name", Text, primary_key=True),
    Column("at", UtcDateTime, nullable=False),
)

sources = Table(
    "sl_sources",
    metadata,
    Column("env_id", ForeignKey("sl_environments.id", ondelete="CASCADE"), primary_key=True),
    Column("name", Text, primary_key=True),
    Column("config", JSON, nullable=False),
)

# How far the changes of a source were read, and who reads them: see `registry.feeds`.
feeds = Table(
    "sl_feeds",
    metadata,
    Column("env_id", ForeignKey("sl_environments.id", ondelete="CASCADE"), primary_key=True),
    Column("source", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("position", Text),
    Column("changes", BigInteger, nullable=False, server_default=text("0")),
    Column("lease", Text),
    Column("lease_at", UtcDateTime),
    Column("lag_bytes", BigInteger),
    Column("lag_seconds", Float),
    Column("lag_at", UtcDateTime),
    Column("restarts", Integer, nullable=False, server_default=text("0")),
    Column("restarted_at", UtcDateTime),
    Column("restarted_because", Text),
    Column("trouble", Text),
    Column("cure", Text),
)

lenses = Table(
    "sl_lenses",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("env_id", ForeignKey("sl_environments.id", ondelete="CASCADE"), nullable=False),
    Column("name", Text, nullable=False),
    Column("config", JSON, nullable=False),
    Column("config_hash", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("needs", Text, nullable=False),
    Column("error", Text),
    Column("cure", Text),
    Column("origin", Text, nullable=False),
    Column("pushed_at", UtcDateTime, nullable=False),
    Column("changed_at", UtcDateTime, nullable=False),
    Column("last_generation", Integer, nullable=False, server_default=text("0")),
    Column("pushed_config", JSON(none_as_null=True)),
    Column("failing_since", UtcDateTime),
    Column("needs_you", Boolean, nullable=False, server_default=false()),
    Column("guarded", Boolean, nullable=False, server_default=false()),
    Column("tracked", Text),
    UniqueConstraint("env_id", "name"),
    # The id of a removed lens must not come back: it stands in store locks and in old logs.
    sqlite_autoincrement=True,
)

# Indexes of removed lenses. Their generations are gone, so nothing else knows that they are to go.
dropped_indexes = Table(
    "sl_dropped_indexes",
    metadata,
    Column("index_name", Text, primary_key=True),
    Column("env", Text, nullable=False),
    Column("at", UtcDateTime, nullable=False),
)

index_stamps = Table(
    "sl_index_stamps",
    metadata,
    Column("index_name", Text, primary_key=True),
    Column("stamp", Text, nullable=False),
)

jobs = Table(
    "sl_jobs",
    metadata,
    Column("id", Text, primary_key=True),
    _lens_id(),
    Column("mode", Text, nullable=False),
    Column("shard", Integer),
    Column("singleton", Text, nullable=False),
    Column("slot", Text, unique=True),
    Column("sweep_slot", Integer, unique=True),
    Column("status", Text, nullable=False),
    Column("origin", Text, nullable=False),
    Column("run_id", Text),
    Column("lease", Text),
    Column("counts", CountsJson, nullable=False),
    Column("error", Text),
    Column("cure", Text),
    Column("created_at", UtcDateTime, nullable=False),
    Column("due_at", UtcDateTime, nullable=False),
    Column("started_at", UtcDateTime),
    Column("ended_at", UtcDateTime),
    Column("heartbeat_at", UtcDateTime),
    Column("attempt", Integer, nullable=False),
    Column("confirmed", Boolean, nullable=False),
    Column("nudged", Boolean, nullable=False, server_default=false()),
    Column("full_walk", Boolean, nullable=False, server_default=false()),
    Index(None, "status", "due_at"),
    Index(None, "lens_id", "created_at"),
    Index(None, "created_at"),
    Index(None, "ended_at"),
)

page_log = Table(
    "sl_page_log",
    metadata,
    Column("id", BIG_ID, primary_key=True),
    Column("job_id", ForeignKey("sl_jobs.id", ondelete="CASCADE"), nullable=False),
    Column("shard", Integer, nullable=False),
    Column("page", Integer, nullable=False),
    Column("rows", Integer, nullable=False),
    Column("counts", CountsJson, nullable=False),
    Column("seconds", Float, nullable=False),
    Column("cursor", Text),
    Column("at", UtcDateTime, nullable=False),
    Index(None, "job_id", "id"),
    Index(None, "at"),
)

generations = Table(
    "sl_generations",
    metadata,
    Column("id", Integer, primary_key=True),
    _lens_id(),
    Column("number", Integer, nullable=False),
    Column("index_name", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("building_slot", Integer, unique=True),
    Column("active_slot", Integer, unique=True),
    Column("mapping_fingerprint", Text, nullable=False),
    Column("model_fingerprint", Text, nullable=False),
    Column("passage_prompt", Text),
    Column("config", JSON, nullable=False),
    Column("dimension", Integer),
    Column("bounds", JSON, nullable=False),
    Column("job_id", Text, nullable=False),
    Column("change_seq", BigInteger, nullable=False),
    Column("source_rows", BigInteger),
    Column("high_water", Text),
    Column("created_at", UtcDateTime, nullable=False),
    Column("published_at", UtcDateTime),
    Column("retired_at", UtcDateTime),
    Column("settled", Text),
    Column("embedded_by", JSON),
    Column("incarnation", Text),
    Column("watched_at", UtcDateTime),
    Column("split_by", Text),
    Column("hidden", BigInteger, nullable=False, server_default=text("0")),
    Column("recovered", BigInteger, nullable=False, server_default=text("0")),
    UniqueConstraint("lens_id", "number"),
    sqlite_autoincrement=True,
)

# Objects of a generation that somebody found at fault, for the next smart sync to write again.
marked_rows = Table(
    "sl_marked_rows",
    metadata,
    Column("generation_id", ForeignKey(generations.c.id, ondelete="CASCADE"), primary_key=True),
    Column("fault", Text, primary_key=True),
    Column("key", Text, primary_key=True),
)

# The last complete walk of each generation's source: `registry.walks.Walk`.
walks = Table(
    "sl_walks",
    metadata,
    Column("generation_id", ForeignKey(generations.c.id, ondelete="CASCADE"), primary_key=True),
    Column("whole_at", UtcDateTime, nullable=False),
    Column("rows", BigInteger, nullable=False),
    Column("textless", BigInteger, nullable=False),
    Column("fingerprint", Text, nullable=False),
    Column("place", Text, nullable=False),
    Column("mark", Text),
    Column("since", Text),
    Column("token", Text),
    Column("kept", Text),
    Column("digest", Text),
)

# What a provider embeds in its own time: `registry.batches.Batch`. Without foreign keys: a batch
# whose lens or generation is gone has still to be cancelled.
batches = Table(
    "sl_batches",
    metadata,
    Column("id", Text, primary_key=True),
    Column("lens_id", Integer, nullable=False),
    Column("generation_id", Integer, nullable=False),
    Column("shard", Integer, nullable=False),
    Column("number", Integer, nullable=False),
    Column("upto", Text),
    Column("embedding", JSON, nullable=False),
    Column("texts", Integer, nullable=False),
    Column("done", Integer, nullable=False, server_default=text("0")),
    Column("remote", Text),
    Column("tries", Integer, nullable=False, server_default=text("0")),
    Column("created_at", UtcDateTime, nullable=False),
    Column("sent_at", UtcDateTime),
    Column("expires_at", UtcDateTime),
    UniqueConstraint("generation_id", "shard", "number"),
    Index(None, "lens_id"),
)

shards = Table(
    "sl_shards",
    metadata,
    Column("generation_id", ForeignKey(generations.c.id, ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("status", Text, nullable=False),
    Column("cursor", Text),
    Column("lease", Text),
    Column("run_id", Text),
    Column("heartbeat_at", UtcDateTime),
    Column("counts", CountsJson, nullable=False),
    Column("started_at", UtcDateTime),
)

changes = Table(
    "sl_changes",
    metadata,
    Column("seq", BIG_ID, primary_key=True),
    _lens_id(),
    Column("key", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("job_id", Text),
    Column("applied_at", UtcDateTime),
    Column("looks", Integer, nullable=False, server_default=text("0")),
    Column("not_before", UtcDateTime),
    Column("noted", Boolean, nullable=False, server_default=false()),
    Index(None, "lens_id", "seq"),
    Index("sl_changes_lens_id_key_seq_ix", "lens_id", "key", "seq").ddl_if(dialect="postgresql"),
    # Every index of SQLite ends with the row's number, which is `seq`. Named once more, it would
    # lengthen most of what a call writes.
    Index("sl_changes_lens_id_key_ix", "lens_id", "key").ddl_if(dialect="sqlite"),
    # A sequence number must not come back after `prune`: "newer than" is decided by it.
    sqlite_autoincrement=True,
)
_unapplied = changes.c.applied_at.is_(None)
_claimed = changes.c.job_id.is_not(None) & _unapplied
_partial = {
    Index("sl_changes_unapplied_ix", changes.c.lens_id, changes.c.seq): _unapplied,
    Index("sl_changes_claimed_ix", changes.c.job_id): _claimed,
}

# How many changes of a lens are not applied. Counting them takes as long as there are many, and
# every call of the webhook is told; the row is also what appends and claims of a lens queue at.
buffers = Table(
    "sl_buffers",
    metadata,
    _lens_id(primary_key=True),
    Column("size", BigInteger, nullable=False),
)

# One row for each accepted call of the last minute; only where the environment has a limit.
calls = Table(
    "sl_calls",
    metadata,
    Column("id", BIG_ID, primary_key=True),
    _lens_id(),
    Column("at", UtcDateTime, nullable=False),
    Index(None, "lens_id", "at"),
)

cursors = Table(
    "sl_cursors",
    metadata,
    _lens_id(primary_key=True),
    Column("cursor", Text),
    Column("high_water", Text),
    Column("updated_at", UtcDateTime, nullable=False),
    Column("settled", Text),
    Column("seen", Text),
    Column("seen_at", UtcDateTime),
)

# When a schedule last found that a lens has nothing to read: `registry.quiet`.
quiet = Table(
    "sl_quiet",
    metadata,
    _lens_id(primary_key=True),
    Column("mode", Text, primary_key=True),
    Column("at", UtcDateTime, nullable=False),
)

failed_rows = Table(
    "sl_failed_rows",
    metadata,
    _lens_id(primary_key=True),
    Column("key", Text, primary_key=True),
    Column("stage", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("first_at", UtcDateTime, nullable=False),
    Column("last_at", UtcDateTime, nullable=False),
    Column("job_id", Text, nullable=False),
    Index(None, "lens_id", "last_at"),
)


def described(dialect: str) -> MetaData:
    """Return the tables with what only making or comparing them needs.

    That is the conditions of indexes, and when a foreign key is checked. `dialect` is SQLAlchemy's
    name of the database. It is imported for that, which takes half as long again as all that is
    here.
    """
    for index, condition in _partial.items():
        index.dialect_kwargs[f"{dialect}_where"] = condition
    # Late on SQLite: see `sql.insert_all`. A lens that is gone is found by the buffer's key.
    (owner,) = changes.foreign_key_constraints
    owner.deferrable, owner.initially = (True, "DEFERRED") if dialect == "sqlite" else (None, None)
    return metadata
