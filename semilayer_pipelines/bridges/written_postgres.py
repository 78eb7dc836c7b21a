"""How far a PostgreSQL table has been written to, told by transactions and by its write counters.

*Which rows*: a row carries the number of the transaction that wrote it (`xmin`). Whatever was not
committed when a snapshot was taken has a number from the snapshot's `xmin` on, however late it
commits. So rows of lower numbers are the rows that a walk after that moment has read. FREEZE,
VACUUM FULL and COPY FREEZE keep the number, row locks leave it alone. To read it takes SELECT on
the table; on its columns is too little.

*The whole table*: equal snapshots see the same rows of every table. On a server where others write,
the table's counters tell. They come late: each session adds its own up when it is idle, after 10
seconds at the latest. So they prove nothing before `unwritten` has waited for that.

Neither outlives its server process. After a crash, numbers are given out a second time and counters
are gone; a copy of the files may have gone another way. All that is part of the place, and so are
the rows of the catalogue that describe the table: any DDL on it writes these.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence

from semilayer_pipelines.bridges.database import Described, SourceColumn, Sql
from semilayer_pipelines.bridges.postgres_names import BASE_TYPES
from semilayer_pipelines.bridges.protocol import Written
from semilayer_pipelines.bridges.server import Run

__all__ = ["AT_WORK", "key_hash", "written", "written_after"]

_OLDEST = 130_000
_COUNTERS_SINCE = 150_000
"""Up to 14 a collector process counted, which is told by datagrams: some are lost."""

_IT = re.compile(r"PostgreSQL [\d.]+(\w*) (\(|on )(?!.*(Greenplum|Redshift))")
"""Not a relative of it that has other storage, and numbers or counters that mean something else."""

_EPOCH = 2**30
"""Transactions after which nothing is proven: `age` compares numbers up to 2^31 apart."""

_LATE = 2**24
"""More than can begin between planning a statement and its end."""

_SERVER = "SELECT pg_catalog.current_setting('server_version_num')::int, pg_catalog.version()"
_LOOK = f"""
WITH RECURSIVE {BASE_TYPES}, tree(oid, bond) AS (
  SELECT pg_catalog.to_regclass(%s)::oid, ''
  UNION
  SELECT i.inhrelid, i.xmin::text
  FROM tree JOIN pg_catalog.pg_inherits i ON i.inhparent = tree.oid
), root AS (
  SELECT c.* FROM pg_catalog.pg_class c WHERE c.oid = pg_catalog.to_regclass(%s)
), storage AS (
  SELECT pg_catalog.bool_and(
      c.relpersistence <> 't' AND (c.relkind = 'p' OR c.relkind = 'r' AND a.amname = 'heap')
      AND n.nspname NOT LIKE '\\_timescaledb%%') AS plain,
    pg_catalog.string_agg(pg_catalog.concat_ws(' ', c.oid, c.relfilenode, c.xmin, n.xmin, bond),
      ',' ORDER BY c.oid, bond) AS files,
    pg_catalog.sum(pg_catalog.pg_stat_get_tuples_inserted(c.oid)) AS inserted,
    pg_catalog.sum(pg_catalog.pg_stat_get_tuples_updated(c.oid)) AS updated,
    pg_catalog.sum(pg_catalog.pg_stat_get_tuples_deleted(c.oid)) AS deleted
  FROM tree JOIN pg_catalog.pg_class c ON c.oid = tree.oid
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN pg_catalog.pg_am a ON a.oid = c.relam
), columns AS (
  SELECT pg_catalog.bool_or(a.attgenerated = 'v' OR b.typname ~ '^_?(reg[a-z]+|aclitem)$')
      AS moving,
    pg_catalog.string_agg(pg_catalog.concat_ws(' ', a.attnum, a.atttypid, a.atttypmod,
      a.attcollation, a.xmin, a.attname), ',' ORDER BY a.attnum) AS described
  FROM root JOIN pg_catalog.pg_attribute a ON a.attrelid = root.oid AND a.attnum > 0
  LEFT JOIN base_types ON base_types.domain = a.atttypid
  LEFT JOIN pg_catalog.pg_type b ON b.oid = COALESCE(base_types.oid, a.atttypid)
)
SELECT storage.plain AND root.relkind IN ('r', 'p') AND columns.moving IS NOT TRUE
    AND NOT pg_catalog.pg_is_in_recovery() AND NOT pg_catalog.row_security_active(root.oid)
    AND NOT EXISTS (SELECT FROM pg_catalog.pg_extension WHERE extname LIKE 'citus%%'),
  pg_catalog.has_table_privilege(root.oid, 'SELECT'),
  pg_catalog.pg_current_snapshot()::text,
  pg_catalog.concat_ws(' ', inserted, updated, deleted,
    pg_catalog.pg_stat_get_tuples_inserted('pg_catalog.pg_inherits'::pg_catalog.regclass),
    pg_catalog.pg_stat_get_tuples_deleted('pg_catalog.pg_inherits'::pg_catalog.regclass),
    (SELECT stats_reset FROM pg_catalog.pg_stat_database
     WHERE datname = pg_catalog.current_database())),
  pg_catalog.current_setting('track_counts') = 'on'
    AND NOT EXISTS (SELECT FROM pg_catalog.pg_db_role_setting
                    WHERE setconfig::text LIKE '%%track_counts%%')
    AND NOT EXISTS (SELECT FROM pg_catalog.pg_subscription s
                    JOIN pg_catalog.pg_database d ON d.oid = s.subdbid
                    WHERE d.datname = pg_catalog.current_database()),
  pg_catalog.pg_postmaster_start_time()::text,
  (SELECT stats_reset::text FROM pg_catalog.pg_stat_bgwriter),
  (SELECT oid::text FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()),
  pg_catalog.current_setting('server_version'),
  storage.files, columns.described,
  (SELECT pg_catalog.md5(pg_catalog.string_agg(enumtypid || ' ' || enumsortorder || enumlabel, ','
    ORDER BY enumtypid, enumsortorder)) FROM pg_catalog.pg_enum),
  (SELECT pg_catalog.string_agg(extname || ' ' || extversion, ',' ORDER BY extname)
   FROM pg_catalog.pg_extension),
  pg_catalog.current_setting('IntervalStyle'), pg_catalog.current_setting('lc_monetary'),
  pg_catalog.current_setting('bytea_output'), pg_catalog.current_setting('xmlbinary'),
  pg_catalog.current_setting('search_path')
FROM storage, columns, root
"""

AT_WORK = """
SELECT a.pid, EXISTS (
  SELECT FROM pg_catalog.pg_locks l WHERE l.pid = a.pid AND l.locktype = 'virtualxid'
  AND l.mode = 'ExclusiveLock')
FROM pg_catalog.pg_stat_activity a
WHERE a.pid <> pg_catalog.pg_backend_pid() AND a.datname = pg_catalog.current_database()
  AND a.backend_type IS DISTINCT FROM 'autovacuum worker'
"""
"""The sessions of this database, and whether each is in a transaction: any user may know."""


def written(run: Run, name: str) -> Written | None:
    """Return how far a table has been written to; `None` where PostgreSQL cannot tell.

    `name` is quoted, as `to_regclass` takes it. The mark is a snapshot, then the counters.
    """
    ((version, server),) = run(_SERVER, ())
    if version < _OLDEST or not _IT.match(server):
        return None
    found = run(_LOOK, (name, name))
    if not found:
        return None
    provable, sees_numbers, snapshot, counted, counting, *place = found[0]
    if not provable:
        return None
    oldest, *_ = snapshot.split(":")
    place = [*place, int(oldest) // _EPOCH]
    if not sees_numbers:
        place.append("of its columns alone")
    digest = hashlib.blake2b(json.dumps(place).encode(), digest_size=16).hexdigest()
    counters = counted if counting and version >= _COUNTERS_SINCE else ""
    since = f"{oldest}|{digest}" if sees_numbers else None
    return Written(digest, f"{snapshot}|{counters}", since)


def written_after(table: Described, since: str) -> Sql:
    """Return the condition that a row was written after `since`; of old rows a few are among them.

    A frozen row keeps its number, which may be given out again 2^32 transactions later.
    """
    number = max(int(since.partition("|")[0]) % 2**32, 3)
    age = f"pg_catalog.age({table.quoted}.xmin)"
    # Half of what a look at a row costs is its age. Nearly all rows are told by the first half.
    return Sql(f"({age} <= (SELECT pg_catalog.age('{number}'::xid)) AND {age} >= {-_LATE})")


def key_hash(key: Sequence[SourceColumn]) -> Sql:
    """Return the expression for a hash of a key, from 0 below 2^40."""
    found = "0"
    for column in key:
        match column.column.kind:
            case "integer":
                found = f"pg_catalog.hashint8extended(CAST({column.order} AS int8), {found})"
            case "uuid":
                found = f"pg_catalog.uuid_hash_extended(CAST({column.order} AS uuid), {found})"
            case _:
                text = f'CAST({column.order} AS text) COLLATE "C"'
                found = f"pg_catalog.hashtextextended({text}, {found})"
    return Sql(f"(({found} >> 24) & {2**40 - 1})")
