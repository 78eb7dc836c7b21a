"""What the webhook needs: keys, the log of calls, an environment's tier, jobs that it launches."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.add_column("sl_environments", sa.Column("tier", sa.Text()))
    nudged: sa.Column[bool] = sa.Column(
        "nudged", sa.Boolean(), nullable=False, server_default=sa.false()
    )
    op.add_column("sl_jobs", nudged)
    op.create_table(
        "sl_api_keys",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("env_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("last_used_at", TIME),
        sa.Column("revoked_at", TIME),
        sa.PrimaryKeyConstraint("id", name="sl_api_keys_pk"),
        sa.ForeignKeyConstraint(
            ["env_id"], ["sl_environments.id"], name="sl_api_keys_env_id_fk", ondelete="CASCADE"
        ),
    )
    op.create_index("sl_api_keys_env_id_ix", "sl_api_keys", ["env_id"])
    op.create_table(
        "sl_calls",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("lens_id", sa.Integer(), nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name="sl_calls_pk"),
        sa.ForeignKeyConstraint(
            ["lens_id"], ["sl_lenses.id"], name="sl_calls_lens_id_fk", ondelete="CASCADE"
        ),
    )
    op.create_index("sl_calls_lens_id_at_ix", "sl_calls", ["lens_id", "at"])
