"""How far a MariaDB table has been written to, told by InnoDB's time of its last change.

That time is when the transaction *began* that committed last, in whole seconds, and it goes back
where a shorter transaction committed earlier. So it is a mark only when nothing can commit later
with the same second: it is past, and no open transaction began in it. To see these takes the right
PROCESS. The time is gone after a restart, and when InnoDB forgets the table; then nothing is proven
until somebody writes. TRUNCATE and DDL leave it alone and give the table another number.

MySQL has a time of another kind, and caches it: there is no proof.
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
SHOW VARIABLES WHERE variable_name IN ('version', 'server_uid', 'hostname', 'port', 'wsrep_on')
"""
_LOOK = """
SELECT CAST(t.update_time AS CHAR), t.update_time <= NOW() - INTERVAL 2 SECOND,
  CAST(t.create_time AS CHAR), t.table_schema, s.table_id, s.space
FROM information_schema.tables t
JOIN information_schema.innodb_sys_tables s ON s.name = CONCAT(t.table_schema, '/', t.table_name)
WHERE t.table_schema = COALESCE(%s, DATABASE()) AND t.table_name = %s
  AND t.table_type = 'BASE TABLE' AND t.engine = 'InnoDB'
  AND COALESCE(t.create_options, '') NOT LIKE '%%partitioned%%'
"""
_COLUMNS = """
SELECT column_name, column_type, collation_name, extra FROM information_schema.columns
WHERE table_schema = %s AND table_name = %s ORDER BY ordinal_position
"""
_OPEN = "SELECT DISTINCT CAST(trx_started AS CHAR) FROM information_schema.innodb_trx"


def written(run: Run, schema: str | None, table: str) -> Written | None:
    """Return how far a table has been written to; `None` where MariaDB cannot tell."""
    server: dict[str, str] = dict(run(_SERVER, ()))
    if "MariaDB" not in server["version"] or server.get("wsrep_on") == "ON":
        return None
    if not any(_MAY_SEE_ALL.match(grant) for (grant,) in run("SHOW GRANTS", ())):
        return None
    found = run(_LOOK, (schema, table))
    if not found:
        return None
    changed, is_past, *storage = found[0]
    columns = run(_COLUMNS, (storage[1], table))
    if any("VIRTUAL" in extra for *_, extra in columns):
        return None  # it may be made of the time of day
    place = json.dumps([server, storage, columns])
    steady = is_past and (changed,) not in run(_OPEN, ())
    digest = hashlib.blake2b(place.encode(), digest_size=16).hexdigest()
    return Written(digest, changed if steady else None, None)
