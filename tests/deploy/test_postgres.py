"""The whole thing on PostgreSQL, registry and Dagster's storage, as a person runs it."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url, text

from semilayer_pipelines.registry.jobs import JobStatus
from tests.cli.project import Folder
from tests.deploy.test_deploy import DEPLOY
from tests.orchestration.dev import Dev, until
from tests.servers import database, postgres_url

ROWS = 500


def count(url: str, query: str) -> int:
    engine = create_engine(url)
    try:
        with engine.connect() as db:
            return int(db.execute(text(query)).scalar_one())
    finally:
        engine.dispose()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_dagster_and_registry_share_a_database_and_do_the_work(tmp_path: Path) -> None:
    with database(postgres_url()) as url:
        # given a project whose state is all in one database of PostgreSQL
        folder = Folder.at(tmp_path, rows=ROWS)
        dev = Dev(folder)
        shutil.copy(DEPLOY / "dagster.yaml", folder.path / "dagster.yaml")
        with_driver = make_url(url).set(drivername="postgresql+psycopg2")
        folder.environ |= {
            "SEMILAYER_REGISTRY_URL": url,
            "DAGSTER_POSTGRES_URL": with_driver.render_as_string(hide_password=False),
        }
        assert folder.run("push").exit_code == 0

        # when it is ingested, its source changes, and the webhook is told
        try:
            dev.start()
            assert f"{ROWS:,} written" in dev.waiting_command("resume", "--lens", "items", "--wait")
            with sqlite3.connect(folder.database) as db:
                db.execute("UPDATE items SET name = 'a rather new name' WHERE id = 9")
            db.close()
            told = {"mode": "records", "changes": [{"id": "9", "action": "upsert"}]}
            with dev.webhook as webhook:
                posted = webhook.post("/v1/ingest/items", json=told)
                assert posted.status_code == 202, posted.text
                until(
                    lambda: dev.job(posted.json()["jobId"]).status is JobStatus.COMPLETED,
                    60,
                    "the job's end",
                )
        finally:
            dev.stop()

        # then the index is the source, and Dagster has kept its runs there and nowhere else
        assert folder.run("verify").exit_code == 0
        assert count(url, "SELECT count(*) FROM runs") >= 2
        assert count(url, "SELECT count(*) FROM sl_jobs WHERE status = 'completed'") == 2
        assert not list((folder.path / ".semilayer").rglob("*.db"))
