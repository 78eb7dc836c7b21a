"""What a model read before the text of each row of a generation."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("sl_generations", sa.Column("passage_prompt", sa.Text()))
