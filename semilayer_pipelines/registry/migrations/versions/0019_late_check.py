"""Changes of a SQLite registry whose lens is looked for at the end of the transaction.

A statement that may fail half-way makes SQLite copy each page before its first change, so that it
can take that statement back. A foreign key that is checked at once is a reason to.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

_UNAPPLIED = "applied_at IS NULL"
# In their old order: SQLite prefers the later one of two that look alike to it.
_INDEXES: dict[str, tuple[list[str], str | None]] = {
    "sl_changes_lens_id_seq_ix": (["lens_id", "seq"], None),
    "sl_changes_unapplied_ix": (["lens_id", "seq"], _UNAPPLIED),
    "sl_changes_claimed_ix": (["job_id"], f"job_id IS NOT NULL AND {_UNAPPLIED}"),
    "sl_changes_lens_id_key_ix": (["lens_id", "key"], None),
}
_NUMBER = "FROM sqlite_sequence WHERE name = 'sl_changes'"


def upgrade() -> None:
    db = op.get_bind()
    if db.dialect.name != "sqlite":
        return
    # SQLite cannot alter a constraint, so the table is copied. Its last number may be that of a
    # change which was pruned since, and must not come back.
    last = db.scalar(sa.text(f"SELECT seq {_NUMBER}"))
    for name in _INDEXES:
        op.drop_index(name, "sl_changes")
    with op.batch_alter_table(
        "sl_changes", recreate="always", table_kwargs={"sqlite_autoincrement": True}
    ) as changes:
        changes.drop_constraint("sl_changes_lens_id_fk", type_="foreignkey")
        changes.create_foreign_key(
            "sl_changes_lens_id_fk",
            "sl_lenses",
            ["lens_id"],
            ["id"],
            ondelete="CASCADE",
            deferrable=True,
            initially="DEFERRED",
        )
    for name, (columns, where) in _INDEXES.items():
        condition = None if where is None else sa.text(where)
        op.create_index(name, "sl_changes", columns, sqlite_where=condition)
    if last is not None:
        db.execute(sa.text(f"DELETE {_NUMBER}"))
        again = sa.text("INSERT INTO sqlite_sequence VALUES ('sl_changes', :seq)")
        db.execute(again, {"seq": last})
