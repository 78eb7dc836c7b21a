"""What Alembic runs: the migrations over the connection that `migrate` (or a test) gives it.

There is no `alembic.ini`. A new migration is made from a Python prompt with
`alembic.command.revision(config, message, autogenerate=True, rev_id="0002")` over a config such as
`migrate` builds; then set `HEAD`.
"""

from __future__ import annotations

from alembic import context

from semilayer_pipelines.registry.migrate import VERSION_TABLE
from semilayer_pipelines.registry.tables import described

connection = context.config.attributes["connection"]
metadata = described(connection.dialect.name)


def is_ours(name: str | None, kind: str, _: object) -> bool:
    """Leave out the tables of others who share the database, Dagster for one."""
    return kind != "table" or (name is not None and name in metadata.tables)


context.configure(
    connection=connection,
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    include_name=is_ours,
    # SQLite cannot alter a table in place; Alembic copies it instead.
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
