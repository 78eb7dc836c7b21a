"""Connection strings: variables from the environment, and nothing of them in a message."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from semilayer_pipelines.bridges import open_bridge
from semilayer_pipelines.bridges.protocol import Selection
from semilayer_pipelines.config.models import SourceConfig
from semilayer_pipelines.errors import ConfigError


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
