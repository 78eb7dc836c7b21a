"""An index of changes without the number that SQLite adds to each by itself."""

from __future__ import annotations

from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    if op.get_bind().dialect.name != "sqlite":
        return
    op.drop_index("sl_changes_lens_id_key_seq_ix", "sl_changes")
    op.create_index("sl_changes_lens_id_key_ix", "sl_changes", ["lens_id", "key"])
