"""How often the row of a change was looked for in vain, and when it is looked for again."""

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
