"""How often the row of a change was looked for in vain, when it is looked for again, and notes."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    looks: sa.Column[int] = sa.Column("looks", sa.Integer(), nullable=False, server_default="0")
    op.add_column("sl_changes", looks)
    op.add_column("sl_changes", sa.Column("not_before", sa.DateTime(timezone=True)))
    noted: sa.Column[bool] = sa.Column(
        "noted", sa.Boolean(), nullable=False, server_default=sa.false()
    )
    op.add_column("sl_changes", noted)
