"""Connection strings: variables from the environment, and nothing of them in a message."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import URL, make_url

from semilayer_pipelines.bridges import open_bridge
from semilayer_pipelines.bridges.protocol import Selection
from semilayer_pipelines.config.models import SourceConfig
from semilayer_pipelines.errors import ConfigError, SourceRefused
from tests.sources import SourceDatabase


def _source(connection: str) -> SourceConfig:
    return SourceConfig.model_validate({"bridge": "sql", "connection": connection})


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A SQLite file with one table of one row."""
    path = tmp_path / "shop.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE items (id INTEGER PRIMARY KEY)")
        connection.execute("INSERT INTO items VALUES (1)")
    connection.close()
    return path


@pytest.mark.parametrize(
    ("connection", "extra"),
    [
        ("${SHOP_URL}", {}),
        ("sqlite:///${FOLDER}/${NAME:-shop}.db", {}),
        ("sqlite:///${FOLDER}/${NAME:-other}.db", {"NAME": "shop"}),
        ("sqlite:///${FOLDER}/${NAME:-shop}.db", {"NAME": ""}),
    ],
)
def test_variables_are_taken_from_the_environment(
    file: Path, connection: str, extra: dict[str, str]
) -> None:
    environ = {"SHOP_URL": f"sqlite:///{file}", "FOLDER": str(file.parent), **extra}

    bridge = open_bridge(_source(connection), name="shop", environ=environ)

    assert bridge.count(Selection("items", ("id",), ("id",))) == 1
    bridge.close()


def test_a_missing_variable_is_named_and_no_other_is_shown() -> None:
    source = _source("postgresql://${USER_NAME}:${PASSWORD}@${HOST}/shop")

    with pytest.raises(ConfigError, match=r"'shop'.*HOST is not set") as failure:
        open_bridge(source, name="shop", environ={"USER_NAME": "u", "PASSWORD": "s3cret"})

    assert "s3cret" not in str(failure.value)


@pytest.mark.parametrize(
    "connection",
    ["s3cret", "postgresql://u:p@s3cret:rest@host:port/x", "//s3cret", "sqlite:///", "sqlite://"],
)
def test_what_is_no_connection_is_an_error_that_does_not_repeat_it(connection: str) -> None:
    with pytest.raises(ConfigError, match="'shop'") as failure:
        open_bridge(_source("${SHOP_URL}"), name="shop", environ={"SHOP_URL": connection})

    assert "s3cret" not in str(failure.value)


def test_another_kind_of_database_is_an_error_that_lists_what_there_is() -> None:
    with pytest.raises(ConfigError, match=r"'oracle'.*postgresql://"):
        open_bridge(_source("oracle://u@h/x"), name="shop", environ={})


def test_importing_the_package_loads_no_driver() -> None:
    drivers = ("adbc_driver_sqlite", "psycopg", "pymysql", "sqlalchemy")
    loaded = f"[d for d in {drivers} if d in sys.modules]"
    code = f"import sys, semilayer_pipelines.bridges; print({loaded})"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


def test_the_end_of_a_password_is_not_taken_for_a_host() -> None:
    url = "postgresql://shop:hun@ter2@127.0.0.1:1/shop"

    with pytest.raises(ConfigError, match="Percent-encode") as failure:
        open_bridge(_source("${SHOP_URL}"), name="shop", environ={"SHOP_URL": url})

    assert "ter2" not in str(failure.value)


ITEMS = Selection("items", ("id",), ("id",))


def plain(url: str, **parts: object) -> URL:
    """Return the URL of a test's database as a person would write it, with some parts changed."""
    parsed = make_url(url)
    return parsed.set(drivername=parsed.get_backend_name(), **parts)  # type: ignore[arg-type]


def count(url: str) -> int:
    bridge = open_bridge(_source("${SHOP_URL}"), name="shop", environ={"SHOP_URL": url})
    try:
        return bridge.count(ITEMS)
    finally:
        bridge.close()


@pytest.mark.parametrize(
    "query",
    [
        "schema=app",
        "currentSchema=app,public",
        "search_path=app",
        "options=-csearch_path%3Dapp",
        "schema=app&pgbouncer=true&connection_limit=1&sslmode=prefer&channel_binding=prefer",
        "schema=app&sslmode=disable&application_name=x&statement_timeout=5000&supa=base-pooler.x",
    ],
)
def test_a_schema_in_the_url_is_where_tables_are_looked_for(
    postgres_source: SourceDatabase, query: str
) -> None:
    postgres_source.run(
        "CREATE TABLE items (id INT PRIMARY KEY)",
        'DROP SCHEMA IF EXISTS "app" CASCADE',
        'CREATE SCHEMA "app"',
        "CREATE TABLE app.items (id INT PRIMARY KEY)",
        "INSERT INTO app.items VALUES (1), (2)",
    )
    url = plain(postgres_source.url).render_as_string(hide_password=False)

    assert count(f"{url}?{query}") == 2
    assert count(f"{url.replace('postgresql', 'postgres')}?{query}") == 2
    postgres_source.run('DROP SCHEMA "app" CASCADE')


def test_of_several_hosts_one_that_answers_is_taken(postgres_source: SourceDatabase) -> None:
    postgres_source.run("CREATE TABLE items (id INT PRIMARY KEY)", "INSERT INTO items VALUES (1)")
    url = plain(postgres_source.url)
    hosts = f"127.0.0.1:1,{url.host}:{url.port or 5432}"

    assert count(f"postgresql://{url.username}@{hosts}/{url.database}?sslmode=disable") == 1
    assert count(f"jdbc:postgresql://{hosts}/{url.database}?user={url.username}") == 1


@pytest.mark.parametrize("scheme", ["mysql", "mysql2", "mariadb", "jdbc:mariadb"])
@pytest.mark.parametrize(
    "query",
    [
        "reconnect=true&pool=5&encoding=utf8mb4&timeout=5000",
        "ssl-mode=PREFERRED&connect_timeout=3",
        "ssl-mode=DISABLED",
        "useSSL=false&serverTimezone=UTC&zeroDateTimeBehavior=CONVERT_TO_NULL",
        "charset=utf8mb4&parseTime=true&loc=Local",
    ],
)
def test_parameters_of_frameworks_do_not_keep_mariadb_from_being_read(
    mariadb_source: SourceDatabase, scheme: str, query: str
) -> None:
    mariadb_source.run("CREATE TABLE items (id INT PRIMARY KEY)", "INSERT INTO items VALUES (1)")
    url = plain(mariadb_source.url)
    where = f"{url.username}@{url.host}:{url.port or 3306},127.0.0.1:1/{url.database}"

    assert count(f"{scheme}://{where}?{query}") == 1


@pytest.mark.parametrize("query", ["ssl-mode=REQUIRED", "sslaccept=strict", "tls=true"])
def test_tls_that_a_server_does_not_offer_is_a_refusal_and_no_outage(
    mariadb_source: SourceDatabase, query: str
) -> None:
    url = plain(mariadb_source.url).render_as_string(hide_password=False)

    with pytest.raises(SourceRefused, match=r"SSL is required|CERTIFICATE_VERIFY_FAILED"):
        count(f"{url}?{query}")


@pytest.mark.parametrize("query", ["ssl_ca=/nowhere/ca.pem", "sslcert=/nowhere&sslkey=/nowhere"])
def test_a_certificate_that_is_not_there_is_told(query: str) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        count(f"mysql://root@127.0.0.1:1/x?{query}")


def test_what_is_left_out_of_a_url_is_told_once_a_process(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        open_bridge(_source(f"sqlite:///{tmp_path}/x.db?mode=ro"), name="told", environ={})

    assert caplog.messages == [
        "source 'told': left out of the URL: 'mode'; it changes nothing about reading rows."
    ]
