"""Which start of the store was seen under a generation, and which of its rows are written again."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("sl_generations", sa.Column("incarnation", sa.Text()))
    op.add_column("sl_generations", sa.Column("watched_at", sa.DateTime(timezone=True)))
    for name in ("hidden", "recovered"):
        number: sa.Column[int] = sa.Column(
            name, sa.BigInteger(), nullable=False, server_default="0"
        )
        op.add_column("sl_generations", number)
    op.create_table(
        "sl_marked_rows",
        sa.Column("generation_id", sa.Integer(), nullable=False),
        sa.Column("fault", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("generation_id", "fault", "key", name="sl_marked_rows_pk"),
        sa.ForeignKeyConstraint(
            ["generation_id"],
            ["sl_generations.id"],
            name="sl_marked_rows_generation_id_fk",
            ondelete="CASCADE",
        ),
    )
