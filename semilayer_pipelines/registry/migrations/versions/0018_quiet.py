"""When schedules last found that a lens has nothing to read."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "sl_quiet",
        sa.Column("lens_id", sa.Integer(), nullable=False),
        sa.Column("mode", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("lens_id", "mode", name="sl_quiet_pk"),
        sa.ForeignKeyConstraint(
            ["lens_id"], ["sl_lenses.id"], name="sl_quiet_lens_id_fk", ondelete="CASCADE"
        ),
    )
