"""Who is signed in to the console, and when the daemon was last at work."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "sl_sessions",
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("digest", "key_id", name="sl_sessions_pk"),
        sa.ForeignKeyConstraint(
            ["key_id"], ["sl_api_keys.id"], name="sl_sessions_key_id_fk", ondelete="CASCADE"
        ),
    )
    op.create_index("sl_sessions_created_at_ix", "sl_sessions", ["created_at"])
    op.create_table(
        "sl_heartbeats",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name="sl_heartbeats_pk"),
    )
