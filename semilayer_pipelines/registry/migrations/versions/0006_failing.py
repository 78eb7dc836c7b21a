"""Since when a lens fails and whether it takes a person; what a push found out about its table."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("sl_lenses", sa.Column("failing_since", sa.DateTime(timezone=True)))
    needs_you: sa.Column[bool] = sa.Column(
        "needs_you", sa.Boolean(), nullable=False, server_default=sa.false()
    )
    op.add_column("sl_lenses", needs_you)
    op.add_column("sl_lenses", sa.Column("tracked", sa.Text()))
    # Since when is not known; since their last change at the latest.
    op.execute("UPDATE sl_lenses SET failing_since = changed_at WHERE status = 'error'")
