"""How far the changes of a source were read, and who reads them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "sl_feeds",
        sa.Column("env_id", sa.Integer(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("position", sa.Text()),
        sa.Column("changes", sa.BigInteger(), nullable=False, server_default=sa.text("0")),
        sa.Column("lease", sa.Text()),
        sa.Column("lease_at", sa.DateTime(timezone=True)),
        sa.Column("lag_bytes", sa.BigInteger()),
        sa.Column("lag_seconds", sa.Float()),
        sa.Column("lag_at", sa.DateTime(timezone=True)),
        sa.Column("restarts", sa.Integer(), nullable=False, server_default=sa.text("0")),
        sa.Column("restarted_at", sa.DateTime(timezone=True)),
        sa.Column("restarted_because", sa.Text()),
        sa.Column("trouble", sa.Text()),
        sa.Column("cure", sa.Text()),
        sa.PrimaryKeyConstraint("env_id", "source", name="sl_feeds_pk"),
        sa.ForeignKeyConstraint(
            ["env_id"], ["sl_environments.id"], name="sl_feeds_env_id_fk", ondelete="CASCADE"
        ),
    )
