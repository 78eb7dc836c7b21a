"""The first tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    _environments_and_lenses()
    _jobs()
    _generations()
    _changes()
    _cursors_and_failed_rows()


def _lens_id(table: str) -> tuple[sa.Column[int], sa.ForeignKeyConstraint]:
    return (
        sa.Column("lens_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["lens_id"], ["sl_lenses.id"], name=f"{table}_lens_id_fk", ondelete="CASCADE"
        ),
    )


def _environments_and_lenses() -> None:
    op.create_table(
        "sl_environments",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("slug", sa.Text(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name="sl_environments_pk"),
        sa.UniqueConstraint("slug", name="sl_environments_slug_key"),
    )
    op.create_table(
        "sl_sources",
        sa.Column("env_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("config", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("env_id", "name", name="sl_sources_pk"),
        sa.ForeignKeyConstraint(
            ["env_id"], ["sl_environments.id"], name="sl_sources_env_id_fk", ondelete="CASCADE"
        ),
    )
    op.create_table(
        "sl_lenses",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("env_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("config", sa.JSON(), nullable=False),
        sa.Column("config_hash", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("needs", sa.Text(), nullable=False),
        sa.Column("error", sa.Text()),
        sa.Column("cure", sa.Text()),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("pushed_at", TIME, nullable=False),
        sa.Column("changed_at", TIME, nullable=False),
        sa.Column("last_generation", sa.Integer(), nullable=False, server_default=sa.text("0")),
        sa.PrimaryKeyConstraint("id", name="sl_lenses_pk"),
        sa.UniqueConstraint("env_id", "name", name="sl_lenses_env_id_name_key"),
        sa.ForeignKeyConstraint(
            ["env_id"], ["sl_environments.id"], name="sl_lenses_env_id_fk", ondelete="CASCADE"
        ),
        sqlite_autoincrement=True,
    )


def _jobs() -> None:
    op.create_table(
        "sl_jobs",
        sa.Column("id", sa.Text(), nullable=False),
        *_lens_id("sl_jobs"),
        sa.Column("mode", sa.Text(), nullable=False),
        sa.Column("shard", sa.Integer()),
        sa.Column("singleton", sa.Text(), nullable=False),
        sa.Column("slot", sa.Text()),
        sa.Column("sweep_slot", sa.Integer()),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("run_id", sa.Text()),
        sa.Column("lease", sa.Text()),
        sa.Column("counts", sa.JSON(), nullable=False),
        sa.Column("error", sa.Text()),
        sa.Column("cure", sa.Text()),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("due_at", TIME, nullable=False),
        sa.Column("started_at", TIME),
        sa.Column("ended_at", TIME),
        sa.Column("heartbeat_at", TIME),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("confirmed", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="sl_jobs_pk"),
        sa.UniqueConstraint("slot", name="sl_jobs_slot_key"),
        sa.UniqueConstraint("sweep_slot", name="sl_jobs_sweep_slot_key"),
    )
    for columns in (["status", "due_at"], ["lens_id", "created_at"], ["created_at"], ["ended_at"]):
        op.create_index(f"sl_jobs_{'_'.join(columns)}_ix", "sl_jobs", columns)
    op.create_table(
        "sl_page_log",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("shard", sa.Integer(), nullable=False),
        sa.Column("page", sa.Integer(), nullable=False),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("counts", sa.JSON(), nullable=False),
        sa.Column("seconds", sa.Float(), nullable=False),
        sa.Column("cursor", sa.Text()),
        sa.Column("at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name="sl_page_log_pk"),
        sa.ForeignKeyConstraint(
            ["job_id"], ["sl_jobs.id"], name="sl_page_log_job_id_fk", ondelete="CASCADE"
        ),
    )
    op.create_index("sl_page_log_job_id_id_ix", "sl_page_log", ["job_id", "id"])
    op.create_index("sl_page_log_at_ix", "sl_page_log", ["at"])


def _generations() -> None:
    op.create_table(
        "sl_generations",
        sa.Column("id", sa.Integer(), nullable=False),
        *_lens_id("sl_generations"),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("index_name", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("building_slot", sa.Integer()),
        sa.Column("active_slot", sa.Integer()),
        sa.Column("mapping_fingerprint", sa.Text(), nullable=False),
        sa.Column("model_fingerprint", sa.Text(), nullable=False),
        sa.Column("config", sa.JSON(), nullable=False),
        sa.Column("dimension", sa.Integer()),
        sa.Column("bounds", sa.JSON(), nullable=False),
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("change_seq", sa.BigInteger(), nullable=False),
        sa.Column("source_rows", sa.BigInteger()),
        sa.Column("high_water", sa.Text()),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("published_at", TIME),
        sa.Column("retired_at", TIME),
        sa.PrimaryKeyConstraint("id", name="sl_generations_pk"),
        sa.UniqueConstraint("building_slot", name="sl_generations_building_slot_key"),
        sa.UniqueConstraint("active_slot", name="sl_generations_active_slot_key"),
        sa.UniqueConstraint("lens_id", "number", name="sl_generations_lens_id_number_key"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "sl_shards",
        sa.Column("generation_id", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("cursor", sa.Text()),
        sa.Column("lease", sa.Text()),
        sa.Column("run_id", sa.Text()),
        sa.Column("heartbeat_at", TIME),
        sa.Column("counts", sa.JSON(), nullable=False),
        sa.Column("started_at", TIME),
        sa.PrimaryKeyConstraint("generation_id", "number", name="sl_shards_pk"),
        sa.ForeignKeyConstraint(
            ["generation_id"],
            ["sl_generations.id"],
            name="sl_shards_generation_id_fk",
            ondelete="CASCADE",
        ),
    )


def _changes() -> None:
    op.create_table(
        "sl_changes",
        sa.Column("seq", BIG_ID, nullable=False),
        *_lens_id("sl_changes"),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("job_id", sa.Text()),
        sa.Column("applied_at", TIME),
        sa.PrimaryKeyConstraint("seq", name="sl_changes_pk"),
        sqlite_autoincrement=True,
    )
    op.create_index("sl_changes_lens_id_seq_ix", "sl_changes", ["lens_id", "seq"])
    op.create_index("sl_changes_lens_id_key_seq_ix", "sl_changes", ["lens_id", "key", "seq"])
    for name, columns, where in (
        ("sl_changes_unapplied_ix", ["lens_id", "seq"], "applied_at IS NULL"),
        ("sl_changes_claimed_ix", ["job_id"], "job_id IS NOT NULL AND applied_at IS NULL"),
    ):
        op.create_index(
            name,
            "sl_changes",
            columns,
            sqlite_where=sa.text(where),
            postgresql_where=sa.text(where),
        )
    op.create_table(
        "sl_buffers",
        *_lens_id("sl_buffers"),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("lens_id", name="sl_buffers_pk"),
    )


def _cursors_and_failed_rows() -> None:
    op.create_table(
        "sl_cursors",
        *_lens_id("sl_cursors"),
        sa.Column("cursor", sa.Text()),
        sa.Column("high_water", sa.Text()),
        sa.Column("updated_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("lens_id", name="sl_cursors_pk"),
    )
    op.create_table(
        "sl_failed_rows",
        *_lens_id("sl_failed_rows"),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("stage", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("first_at", TIME, nullable=False),
        sa.Column("last_at", TIME, nullable=False),
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("lens_id", "key", name="sl_failed_rows_pk"),
    )
    op.create_index("sl_failed_rows_lens_id_last_at_ix", "sl_failed_rows", ["lens_id", "last_at"])
