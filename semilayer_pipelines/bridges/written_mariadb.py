"""How far a table of MariaDB or MySQL has been written to, by InnoDB's time of its last change.

It has whole seconds, so it is a mark only when nothing can commit later with the same one. On
MariaDB it is when the transaction *began* that committed last, and it goes back where a shorter one
committed earlier: the second is past, and no open transaction began in it. On MySQL it is when that
transaction committed: the second is past, and no transaction is about to commit. To see these takes
the right PROCESS.

The time is gone after a restart, and when InnoDB forgets the table; then nothing is proven until
somebody writes. TRUNCATE and DDL leave it alone and give the table another number. MySQL before 8
tells it in a way that is not known here.
"""

from __future__ import annotations

import hashlib
import json
import re

from semilayer_pipelines.bridges.protocol import Written
from semilayer_pipelines.bridges.server import Run

__all__ = ["written"]

_MAY_SEE_ALL = re.compile(r"GRANT (.*, )?(ALL PRIVILEGES|PROCESS)(,.*)? ON \*\.\*")

_SERVER = """
SHOW VARIABLES WHERE variable_name IN
  ('version', 'server_uid', 'server_uuid', 'hostname', 'port', 'wsrep_on')
"""
_LOOK = """
SELECT CAST(t.update_time AS CHAR), t.update_time <= NOW() - INTERVAL 2 SECOND,
  CAST(t.create_time AS CHAR), t.table_schema, s.table_id, s.space
FROM information_schema.tables t
JOIN information_schema.{numbers} s ON s.name = CONCAT(t.table_schema, '/', t.table_name)
WHERE t.table_schema = COALESCE(%s, DATABASE()) AND t.table_name = %s
  AND t.table_type = 'BASE TABLE' AND t.engine = 'InnoDB'
  AND COALESCE(t.create_options, '') NOT LIKE '%%partitioned%%'
"""
_COLUMNS = """
SELECT column_name, column_type, collation_name, extra FROM information_schema.columns
WHERE table_schema = %s AND table_name = %s ORDER BY ordinal_position
"""
# MySQL keeps what it told of a table for a day, unless a session asks for it.
_AS_IT_IS = "SET SESSION information_schema_stats_expiry = 0"
_OPEN = """
SELECT COUNT(*) FROM information_schema.innodb_trx WHERE {which}
"""


def written(run: Run, schema: str | None, table: str) -> Written | None:
    """Return how far a table has been written to; `None` where the server cannot tell."""
    server: dict[str, str] = dict(run(_SERVER, ()))
    is_mariadb = "MariaDB" in server["version"]
    if server.get("wsrep_on") == "ON" or not (is_mariadb or _is_mysql_8(server["version"])):
        return None
    if not any(_MAY_SEE_ALL.match(grant) for (grant,) in run("SHOW GRANTS", ())):
        return None
    if not is_mariadb:
        run(_AS_IT_IS, ())
    numbers = "innodb_sys_tables" if is_mariadb else "innodb_tables"
    found = run(_LOOK.format(numbers=numbers), (schema, table))
    if not found:
        return None
    changed, is_past, *storage = found[0]
    columns = run(_COLUMNS, (storage[1], table))
    if any("VIRTUAL" in extra for *_, extra in columns):
        return None  # it may be made of the time of day
    which = "CAST(trx_started AS CHAR) = %s" if is_mariadb else "trx_state = 'COMMITTING'"
    steady = is_past and run(_OPEN.format(which=which), (changed,) if is_mariadb else ()) == [(0,)]
    place = json.dumps([server, storage, columns])
    digest = hashlib.blake2b(place.encode(), digest_size=16).hexdigest()
    return Written(digest, changed if steady else None, None)


def _is_mysql_8(version: str) -> bool:
    return int(version.partition(".")[0]) >= 8
