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

_NUMBER = "FROM sqlite_sequence WHERE name = 'sl_changes'"


def upgrade() -> None:
    db = op.get_bind()
    if db.dialect.name != "sqlite":
        return
    # SQLite cannot alter a constraint, so the table is copied. Its last number may be that of a
    # change which was pruned since, and must not come back.
    last = db.scalar(sa.text(f"SELECT seq {_NUMBER}"))
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
    if last is not None:
        db.execute(sa.text(f"DELETE {_NUMBER}"))
        again = sa.text("INSERT INTO sqlite_sequence VALUES ('sl_changes', :seq)")
        db.execute(again, {"seq": last})
