"""Whom an environment tells, what they were told, and whether a guard stopped a lens."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("sl_environments", sa.Column("alerts", sa.JSON()))
    op.add_column(
        "sl_lenses",
        sa.Column("guarded", sa.Boolean(), nullable=False, server_default=sa.false()),
    )
    op.create_table(
        "sl_alerts",
        sa.Column("env_id", sa.Integer(), nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("lens", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("cure", sa.Text(), nullable=False),
        sa.Column("told_at", sa.DateTime(timezone=True)),
        sa.Column("well_since", sa.DateTime(timezone=True)),
        sa.Column("over", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("next_try_at", sa.DateTime(timezone=True)),
        sa.Column("tries", sa.Integer(), nullable=False, server_default=sa.text("0")),
        sa.Column("trouble", sa.Text()),
        sa.PrimaryKeyConstraint("env_id", "target", "lens", "kind", name="sl_alerts_pk"),
        sa.ForeignKeyConstraint(
            ["env_id"], ["sl_environments.id"], name="sl_alerts_env_id_fk", ondelete="CASCADE"
        ),
    )
