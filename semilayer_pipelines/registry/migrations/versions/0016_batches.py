"""What a provider embeds in its own time."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "sl_batches",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("lens_id", sa.Integer(), nullable=False),
        sa.Column("generation_id", sa.Integer(), nullable=False),
        sa.Column("shard", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("upto", sa.Text()),
        sa.Column("embedding", sa.JSON(), nullable=False),
        sa.Column("texts", sa.Integer(), nullable=False),
        sa.Column("done", sa.Integer(), nullable=False, server_default=sa.text("0")),
        sa.Column("remote", sa.Text()),
        sa.Column("tries", sa.Integer(), nullable=False, server_default=sa.text("0")),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True)),
        sa.Column("expires_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("id", name="sl_batches_pk"),
        sa.UniqueConstraint(
            "generation_id",
            "shard",
            "number",
            name="sl_batches_generation_id_shard_number_key",
        ),
    )
    op.create_index("sl_batches_lens_id_ix", "sl_batches", ["lens_id"])
