"""What made a generation's vectors: backend, precision, device."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("sl_generations", sa.Column("embedded_by", sa.JSON()))
