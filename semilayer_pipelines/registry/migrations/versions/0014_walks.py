"""The last complete walk of each generation, by which a smart sync proves what it need not read."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "sl_walks",
        sa.Column("generation_id", sa.Integer(), nullable=False),
        sa.Column("whole_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("textless", sa.BigInteger(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("place", sa.Text(), nullable=False),
        sa.Column("mark", sa.Text()),
        sa.Column("since", sa.Text()),
        sa.Column("token", sa.Text()),
        sa.Column("kept", sa.Text()),
        sa.Column("digest", sa.Text()),
        sa.PrimaryKeyConstraint("generation_id", name="sl_walks_pk"),
        sa.ForeignKeyConstraint(
            ["generation_id"],
            ["sl_generations.id"],
            name="sl_walks_generation_id_fk",
            ondelete="CASCADE",
        ),
    )
    op.add_column(
        "sl_jobs",
        sa.Column("full_walk", sa.Boolean(), nullable=False, server_default=sa.false()),
    )
