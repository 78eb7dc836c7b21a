"""URLs as providers and frameworks hand them out are read, or refused by what is wrong in them."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from semilayer_pipelines.config.database_url import database_url
from semilayer_pipelines.config.url_parameters import (
    Parameters,
    postgres_arguments,
    read_parameters,
)
from semilayer_pipelines.errors import ConfigError

WHERE = "source 'main'"


def read(url: str) -> Parameters:
    return read_parameters(database_url(url, where=WHERE), where=WHERE)


def libpq(url: str) -> dict[str, str]:
    parsed = database_url(url, where=WHERE)
    return postgres_arguments(parsed, read_parameters(parsed, where=WHERE))


@pytest.mark.parametrize(
    ("url", "given"),
    [
        ("postgresql://u:p@h:5433/d", {"user": "u", "password": "p", "host": "h", "port": "5433"}),
        ("postgres://u:p@h/d", {"host": "h", "dbname": "d"}),
        ("postgresql+asyncpg://u@h/d?ssl=require", {"sslmode": "require"}),
        ("jdbc:postgresql://h/d?user=u&password=p&ssl=true", {"user": "u", "sslmode": "require"}),
        ("jdbc:postgresql:d", {"dbname": "d"}),
        ("psql 'postgresql://u:p@h/d?sslmode=require'", {"password": "p", "sslmode": "require"}),
        ('"postgres://u:p@h/d"', {"dbname": "d"}),
        ("postgres://u:p%40%2F@h/a%20b", {"password": "p@/", "dbname": "a b"}),
        ("postgresql://h1:1,h2,[::1]:3/d", {"host": "h1,h2,::1", "port": "1,5432,3"}),
        ("postgresql:///d?host=/cloudsql/a:b:c", {"host": "/cloudsql/a:b:c", "dbname": "d"}),
        ("postgresql://%2Fvar%2Frun/d", {"host": "/var/run"}),
        ("postgres://h/d?sslmode=no-verify", {"sslmode": "require"}),
        ("postgres://h/d?sslmode=VERIFY_FULL", {"sslmode": "verify-full"}),
        ("postgres://h/d?sslaccept=strict", {"sslmode": "verify-full", "sslrootcert": "system"}),
        ("postgres://h/d?ssl=0", {"sslmode": "disable"}),
        ("postgres://h/d?channel_binding=require", {"channel_binding": "require"}),
        ("postgres://h/d?channelBinding=require", {"channel_binding": "require"}),
        ("postgres://h/d?options=endpoint%3Dep-1", {"options": "endpoint=ep-1"}),
        (
            "postgres://h/d?targetServerType=preferSecondary",
            {"target_session_attrs": "prefer-standby"},
        ),
        ("postgres://h/d?ApplicationName=x", {"application_name": "x"}),
        ("postgres://h/d?connect_timeout=3", {"connect_timeout": "3"}),
    ],
)
def test_a_url_of_postgresql_says_what_its_driver_is_told(url: str, given: dict[str, str]) -> None:
    told = libpq(url)

    assert {name: told.get(name) for name in given} == given


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("postgres://h/d?schema=app", ("app",)),
        ("postgres://h/d?currentSchema=app,public", ("app", "public")),
        ('postgres://h/d?search_path="My App",public', ("My App", "public")),
    ],
)
def test_a_schema_is_the_search_path(url: str, path: tuple[str, ...]) -> None:
    found = read(url)

    assert found.search_path == path
    assert "search path" in found.notes[0]


@pytest.mark.parametrize(
    ("query", "tls"),
    [
        ("ssl-mode=REQUIRED", "encrypted"),
        ("sslMode=VERIFY_IDENTITY", "identified"),
        ("sslmode=verify-ca", "trusted"),
        ("ssl_mode=DISABLED", "off"),
        ("ssl-mode=PREFERRED", None),
        ("sslaccept=strict", "identified"),
        ("sslaccept=accept_invalid_certs", "encrypted"),
        ('ssl={"rejectUnauthorized":true}', "identified"),
        ('ssl={"rejectUnauthorized":false}', "encrypted"),
        ("ssl=true", "encrypted"),
        ("ssl", "encrypted"),
        ("useSSL=false", "off"),
        ("useSSL=true&requireSSL=true&verifyServerCertificate=true", "trusted"),
        ("tls=skip-verify", "encrypted"),
        ("ssl_verify_identity=true&ssl_verify_cert=true", "identified"),
        ("ssl_disabled=true", "off"),
    ],
)
@pytest.mark.parametrize("scheme", ["mysql", "mysql2", "mariadb", "jdbc:mysql", "mysql+aiomysql"])
def test_every_word_for_tls_with_mysql_is_understood(scheme: str, query: str, tls: str) -> None:
    assert read(f"{scheme}://u:p@h/d?{query}").tls == tls


def test_files_and_sockets_of_mysql_are_passed_on() -> None:
    found = read("mysql://h/d?sslca=/ca&ssl-cert=/c&sslKey=/k&socket=/s&connectTimeout=5000")

    assert found.tls_files == {"ca": "/ca", "cert": "/c", "key": "/k"}
    assert found.driver == {"unix_socket": "/s", "connect_timeout": "5"}


@pytest.mark.parametrize(
    ("url", "named"),
    [
        (
            "postgres://h/d?pgbouncer=true&connection_limit=1&supa=base-pooler.x",
            "'connection_limit'",
        ),
        ("postgres://h/d?statement_timeout=5000", "'statement_timeout'"),
        (
            "jdbc:postgresql://h/d?prepareThreshold=0&reWriteBatchedInserts=true",
            "'prepareThreshold'",
        ),
        ("mysql://h/d?reconnect=true&pool=5&encoding=utf8mb4", "'reconnect'"),
        ("mysql://h/d?charset=utf8&parseTime=true&loc=Local", "'parseTime'"),
        ("jdbc:mysql://h/d?serverTimezone=UTC&allowPublicKeyRetrieval=true", "'serverTimezone'"),
        ("file:./dev.db?connection_limit=1", "'connection_limit'"),
        ("sqlite:///x.db?mode=ro&cache=shared", "'mode'"),
    ],
)
def test_what_is_known_and_means_nothing_here_is_left_out_and_named(url: str, named: str) -> None:
    notes = read(url).notes

    assert any(named in note and "left out of the URL" in note for note in notes)
    assert all(note.startswith(WHERE) and note.endswith(".") for note in notes)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        (
            "postgres://h/d?sslmod=require",
            "'sslmod', which is not known here (did you mean 'sslmode'?)",
        ),
        ("postgres://h/d?shema=app", "'shema', which is not known here (did you mean 'schema'?)"),
        ("mysql://h/d?ssl_caa=x", "'ssl_caa', which is not known here (did you mean 'ssl_ca'?)"),
        ("sqlite:///x.db?moed=ro", "'moed', which is not known here (did you mean 'mode'?)"),
        ("postgres://h/d?sslmode=requir", "(did you mean 'require'?)"),
        ("mysql://h/d?ssl-mode=REQUIRE_ALL", "'ssl-mode' in the URL has a value that there is not"),
        ("postgres://h/d?connect_timeout=soon", "'connect_timeout' in the URL has to be a whole"),
        ("postgres://h/d?target_session_attrs=rw", "It may be any, read-write"),
        ("postgres://h/d?sslidentity=x.p12", "PKCS #12"),
        ("prisma://accelerate.example/?api_key=x", "Prisma Accelerate"),
        ("prisma+postgres://accelerate.example/?api_key=x", "DIRECT_URL"),
        ("libsql://x.turso.example", "Turso"),
        ("postgres://h:99999/d", "is no URL"),
        ("postgres://h:port/d", "is no URL"),
        ("postgres://u:one@two@h/d", "Percent-encode"),
        ("host=h dbname=d", "is no URL"),
        ("../shop.db", "sqlite:///path/to/file.db"),
        ("", "is no URL"),
    ],
)
def test_what_cannot_be_read_is_refused_by_what_is_wrong(url: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(url)

    assert said in str(caught.value)
    assert WHERE in str(caught.value)


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:///shop.db", "shop.db"),
        ("sqlite:////srv/shop.db", "/srv/shop.db"),
        ("sqlite3:db/shop.sqlite3", "db/shop.sqlite3"),
        ("jdbc:sqlite:/srv/shop.db", "/srv/shop.db"),
        ("file:./shop.db", "./shop.db"),
        ("file:///srv/shop.db", "/srv/shop.db"),
        ("sqlite:///", ""),
    ],
)
def test_the_path_of_a_sqlite_file_is_found_in_every_form(url: str, path: str) -> None:
    assert database_url(url, where=WHERE).database == path


@given(st.text(max_size=60), st.sampled_from(["", "postgresql://", "mysql://", "jdbc:", "sqlite:"]))
def test_no_text_at_all_ends_in_another_error(text: str, start: str) -> None:
    with suppress(ConfigError):
        read(start + text)
