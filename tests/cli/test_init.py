"""`semilayer init`: a configuration from what a database shows, which loads and pushes."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url, text

from semilayer_pipelines.config.fields import FieldType
from semilayer_pipelines.config.load import load_config
from semilayer_pipelines.config.models import LensConfig
from tests import servers
from tests.cli.project import ROOT, Folder
from tests.cli.test_push import answer

SHOP = """
CREATE TABLE products (
    id INTEGER PRIMARY KEY, title TEXT, "long descr." TEXT, category TEXT, price REAL,
    in_stock BOOLEAN, updated_at TEXT, password_hash TEXT, picture BLOB);
INSERT INTO products VALUES
    (1, 'Red wool scarf', 'A warm scarf for cold days', 'clothes', 12.5, 1, '2024-01-02T10:00:00',
     'x', x'00'),
    (2, 'Blue cotton hat', 'A hat for the sun', 'clothes', 9, 0, '2024-01-03 10:00:00', 'y', NULL);
CREATE TABLE users (email TEXT PRIMARY KEY, code TEXT, last_modified DATETIME);
INSERT INTO users VALUES ('a@b.c', 'zz', '2024-01-01 00:00:00');
CREATE TABLE links (a INTEGER, b INTEGER, PRIMARY KEY (a, b));
CREATE VIEW offers AS SELECT id AS offer, title, updated_at FROM products;
CREATE TABLE alembic_version (version_num TEXT PRIMARY KEY);
"""


@pytest.fixture
def shop(tmp_path: Path) -> Folder:
    """A folder with a database and no configuration."""
    db = sqlite3.connect(tmp_path / "shop.db")
    db.executescript(SHOP)
    db.close()
    return Folder(tmp_path, {"SEMILAYER_DAGSTER_URL": "http://127.0.0.1:1"})


def lenses(folder: Folder) -> dict[str, LensConfig]:
    return dict(load_config(folder.path / "sl.config.yaml").lenses)


def searchable(lens: LensConfig) -> list[str]:
    return [name for name, field in lens.fields.items() if field.searchable]


def test_the_environment_gets_its_keys_once(shop: Folder) -> None:
    told = shop.json("init", "--connection", "sqlite:///shop.db", "--table", "products")

    assert [key["type"] for key in told["keys"]] == ["service", "search", "ingest"]
    assert len(shop.json("keys", "list")) == 3
    (shop.path / "sl.config.yaml").unlink()
    again = shop.run("init", "--connection", "sqlite:///shop.db", "--table", "products")
    assert "sk_" not in again.stdout


def test_a_registry_that_is_away_costs_the_keys_and_not_the_file(shop: Folder) -> None:
    shop.environ["SEMILAYER_REGISTRY_URL"] = "postgresql://u:secret@127.0.0.1:1/none"

    done = shop.run("init", "--connection", "sqlite:///shop.db", "--table", "products")

    assert done.exit_code == 0
    assert "No key was made yet" in done.stdout
    assert "secret" not in done.output
    assert (shop.path / "sl.config.yaml").is_file()


def test_a_relative_file_is_the_one_that_a_push_reads(shop: Folder) -> None:
    root = shop.path / "elsewhere"
    root.mkdir()
    (shop.path / "shop.db").rename(root / "shop.db")
    shop.environ["SEMILAYER_ROOT"] = str(root)

    assert shop.run("init", "--connection", "sqlite:///shop.db").exit_code == 0
    assert shop.run("push").exit_code == 0


def test_what_is_written_says_what_the_database_shows_and_pushes(shop: Folder) -> None:
    said = shop.run("init", "--connection", "sqlite:///shop.db").stdout

    (products,) = lenses(shop).values()
    assert searchable(products) == ["title", "long_descr"]
    assert products.fields["long_descr"].from_ == ("long descr.",)
    assert products.fields["updated_at"].type is FieldType.DATE
    assert products.fields["in_stock"].type is FieldType.BOOLEAN
    assert not {"password_hash", "picture"} & products.fields.keys()
    assert (products.change_tracking_column, products.sync_interval) == (("updated_at",), "5m")
    for why in (
        "users: its texts are codes",
        "links: it has no column of texts",
        "offers: it has no",
    ):
        assert f"left  {why}" in said
    assert "lens  products: embeds title, long_descr; follows updated_at\n" in said
    assert "created    products" in shop.run("push").stdout


def test_codes_and_html_are_proposed_as_such_with_the_reason(shop: Folder) -> None:
    with sqlite3.connect(shop.path / "shop.db") as db:
        db.execute(
            "CREATE TABLE parts (sku TEXT PRIMARY KEY, body TEXT, mail TEXT, price TEXT, "
            "state TEXT)"
        )
        db.executemany(
            "INSERT INTO parts VALUES (?, ?, ?, ?, ?)",
            [
                (f"AB-{n}", f"<p>A part <b>to use</b></p>&nbsp;{n}", f"{n}@b.org", f"{n}.5", "new")
                for n in range(4)
            ],
        )

    said = shop.run("init", "--connection", "sqlite:///shop.db", "--table", "parts").stdout

    fields = lenses(shop)["parts"].fields
    assert [name for name, field in fields.items() if field.keyword == "exact"] == ["sku", "mail"]
    assert [name for name, field in fields.items() if field.transform] == ["body"]
    written = (shop.path / "sl.config.yaml").read_text()
    assert "body: {type: text, transform: htmlToText, searchable: true}" in written
    assert "# htmlToText: of the HTML in body, what a reader sees is embedded." in written
    assert "# keyword: exact, as sku and mail hold codes: a search for a whole one puts" in written
    assert "lens  parts: embeds body (HTML: body); " in said
    assert "; finds codes in sku, mail; not embedded, because personal: mail" in said
    assert "created    parts" in shop.run("push").stdout


def test_the_folder_is_a_dagster_project_and_what_was_there_stays(shop: Folder) -> None:
    (shop.path / "workspace.yaml").write_text("mine")

    told = shop.json("init", "--connection", "sqlite:///shop.db")

    assert told["beside"] == ["dagster.yaml", "dg.toml"]
    assert (shop.path / "dagster.yaml").read_bytes() == (ROOT / "dagster.yaml").read_bytes()
    assert (shop.path / "workspace.yaml").read_text() == "mine"


@pytest.mark.parametrize("name", ["dagster.yaml", "workspace.yaml"])
def test_the_package_has_the_files_of_this_repository(name: str) -> None:
    packaged = ROOT / "semilayer_pipelines" / "project_files" / name

    assert packaged.read_bytes() == (ROOT / name).read_bytes(), "run: make docs"


def test_an_existing_file_is_never_written_over(shop: Folder) -> None:
    file = shop.path / "sl.config.yaml"
    file.write_text("mine")

    refused = shop.run("init", "--connection", "sqlite:///shop.db")

    assert refused.exit_code == 3
    assert file.read_text() == "mine"
    assert sorted(p.name for p in shop.path.iterdir()) == ["shop.db", "sl.config.yaml"]


def test_named_tables_are_taken_with_what_they_have_and_a_key_that_is_told(shop: Folder) -> None:
    told = shop.json(
        *("init", "--connection", "sqlite:///shop.db"),
        *("--table", "users", "--table", "offers", "--key", "offer"),
    )

    assert [lens["table"] for lens in told["lenses"]] == ["users", "offers"]
    found = lenses(shop)
    assert searchable(found["users"]) == ["code"]
    assert found["users"].change_tracking_column == ("last_modified",)
    assert found["offers"].primary_key == ("offer",)
    assert shop.run("push").exit_code == 0


@pytest.mark.parametrize(
    ("options", "keys"),
    [
        # One table: the key takes the place of its own.
        (("--table", "products", "--key", "title"), {"products": ("title",)}),
        (("--table", "products", "--table", "products", "--key", "id"), {"products": ()}),
        (("--table", "offers", "--key", "offer", "--key", "offer"), {"offers": ("offer",)}),
        # Several: those that have one keep it.
        (
            ("--table", "products", "--table", "offers", "--key", "offer"),
            {"products": (), "offers": ("offer",)},
        ),
    ],
)
def test_a_key_that_is_told_is_used(
    shop: Folder, options: tuple[str, ...], keys: dict[str, tuple[str, ...]]
) -> None:
    shop.json("init", "--connection", "sqlite:///shop.db", *options)

    assert {name: lens.primary_key for name, lens in lenses(shop).items()} == keys
    assert shop.run("push").exit_code == 0


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--key", "typo"), "--key names (typo). products: id."),
        (("--table", "products", "--table", "users", "--key", "x"), "products: id; users: email"),
        (("--table", "products", "--key", "typo"), "no column 'typo' to be its key"),
    ],
)
def test_a_key_that_no_lens_would_have_is_refused(
    shop: Folder, options: tuple[str, ...], says: str
) -> None:
    done = shop.run("init", "--connection", "sqlite:///shop.db", *options)

    assert done.exit_code == 2
    assert says in done.stderr
    assert not (shop.path / "sl.config.yaml").exists()


def test_only_what_cannot_be_found_out_is_asked(shop: Folder) -> None:
    ended, said = answer(shop, "sqlite:///shop.db\nproducts, offers\noffer\n", "init")
    assert ended == 0, said
    assert "alembic_version" not in said
    # A view that was not named is left, as where nobody can be asked.
    assert list(lenses(shop)) == ["products"]

    (shop.path / "sl.config.yaml").unlink()
    ended, said = answer(
        shop, "offer\n", "init", "--connection", "sqlite:///shop.db", "--table", "offers"
    )
    assert ended == 0, said
    assert lenses(shop)["offers"].primary_key == ("offer",)


@pytest.mark.parametrize(
    ("options", "code", "says"),
    [
        ([], 2, "--connection"),
        (["--connection", "sqlite:///nowhere.db"], 1, "nowhere.db"),
        (["--connection", "nonsense"], 2, "no URL"),
        (["--connection", "sqlite:///shop.db", "--table", "prodcts"], 2, "'products'"),
        (["--connection", "sqlite:///shop.db", "--table", "links"], 2, "no column of texts"),
    ],
)
def test_what_cannot_be_done_is_told_and_nothing_is_written(
    options: list[str], code: int, says: str, shop: Folder
) -> None:
    ended = shop.run("init", *options)

    assert (ended.exit_code, "Traceback" in ended.output) == (code, False), ended.output
    assert says in ended.stderr
    assert [p.name for p in shop.path.iterdir()] == ["shop.db"]


@pytest.fixture
def notes(request: pytest.FixtureRequest) -> Iterator[str]:
    """URL of a database with a table of notes."""
    at = servers.postgres_url() if request.param == "postgres" else servers.mariadb_url()
    with servers.database(at) as url:
        engine = create_engine(url)
        with engine.begin() as db:
            db.execute(
                text(
                    "CREATE TABLE notes (nr INTEGER PRIMARY KEY, body TEXT, modified_at TIMESTAMP)"
                )
            )
            db.execute(
                text("INSERT INTO notes VALUES (1, 'Milk and two eggs', '2024-01-01 10:00:00')")
            )
        engine.dispose()
        yield url


@pytest.mark.parametrize("notes", ["postgres", "mariadb"], indirect=True)
def test_a_server_may_be_named_by_a_variable_that_the_file_then_names(
    notes: str, tmp_path: Path
) -> None:
    folder = Folder(tmp_path, {"MY_DATABASE": notes})

    told = folder.json("init", "--connection", "${MY_DATABASE}")

    assert told["connection"] == "${MY_DATABASE}"
    (lens,) = lenses(folder).values()
    assert (searchable(lens), lens.change_tracking_column) == (["body"], ("modified_at",))
    assert folder.run("push").exit_code == 0


@pytest.mark.parametrize("notes", ["postgres"], indirect=True)
def test_a_password_is_asked_of_the_environment_and_never_written(
    notes: str, tmp_path: Path
) -> None:
    # given a URL with a password, which a server that trusts this machine does not look at
    url = make_url(notes)
    secret = url.password or "s3cret-hunter2"
    given = url.set(password=secret).render_as_string(hide_password=False)
    folder = Folder(tmp_path)

    done = folder.run("init", "--connection", given)

    assert done.exit_code == 0, done.output
    assert "export DATABASE_URL=" in done.stdout
    written = (folder.path / "sl.config.yaml").read_text()
    assert "connection: ${DATABASE_URL}" in written
    assert secret not in written + done.output
    folder.environ["DATABASE_URL"] = given
    assert folder.run("push").exit_code == 0


def test_as_json_it_is_one_document(shop: Folder) -> None:
    told = json.loads(shop.run("init", "--connection", "sqlite:///shop.db", "--json").stdout)

    assert told["left"].keys() == {"users", "links", "offers"}
    assert told["lenses"][0]["leftOut"] == ["password_hash"]


def test_what_cannot_be_read_is_left_with_its_reason_and_the_rest_is_written(
    tmp_path: Path,
) -> None:
    with servers.database(servers.postgres_url()) as url:
        role = "init_reads_little"
        servers.execute(
            url,
            f"DROP ROLE IF EXISTS {role}",
            f"CREATE ROLE {role} LOGIN",
            "CREATE TABLE article (id int PRIMARY KEY, title text)",
            "INSERT INTO article VALUES (1, 'a title of words')",
            f"GRANT SELECT ON article TO {role}",
            "CREATE TABLE salary (id int PRIMARY KEY, note text)",
            "CREATE VIEW broken AS SELECT id, title, 1 / (id - 1) AS x FROM article",
            f"GRANT SELECT ON broken TO {role}",
        )
        reader = make_url(url).set(username=role).render_as_string(hide_password=False)
        folder = Folder(tmp_path)
        try:
            said = folder.run("init", "--connection", reader)
        finally:
            servers.execute(url, f"DROP OWNED BY {role}", f"DROP ROLE {role}")

    assert said.exit_code == 0, said.output
    assert list(lenses(folder)) == ["article"]
    assert "left  salary: this user may not read it" in said.stdout
    assert "left  broken: it has no primary key" in said.stdout


def test_a_view_over_what_is_gone_is_left_and_the_rest_is_written(tmp_path: Path) -> None:
    with servers.database(servers.mariadb_url()) as url:
        servers.execute(
            url,
            "CREATE TABLE article (id INT PRIMARY KEY, title TEXT)",
            "INSERT INTO article VALUES (1, 'a title of words')",
            "CREATE TABLE gone (id INT)",
            "CREATE VIEW stale AS SELECT * FROM gone",
            "DROP TABLE gone",
        )
        folder = Folder(tmp_path, {"DATABASE_URL": url})

        said = folder.run("init")

    assert said.exit_code == 0, said.output
    assert list(lenses(folder)) == ["article"]
    assert "left  stale: 'stale' cannot be read: it is a view over something" in said.stdout


def test_a_broken_view_of_sqlite_is_left_and_the_rest_is_written(shop: Folder) -> None:
    db = sqlite3.connect(shop.path / "shop.db")
    db.executescript(
        "CREATE TABLE gone (id); CREATE VIEW stale AS SELECT * FROM gone; DROP TABLE gone"
    )
    db.close()

    said = shop.run("init", "--connection", "sqlite:///shop.db")

    assert said.exit_code == 0, said.output
    assert "left  stale: " in said.stdout
    assert list(lenses(shop)) == ["products"]


def test_tables_whose_names_are_one_to_dagster_get_lenses_that_are_not(tmp_path: Path) -> None:
    db = sqlite3.connect(tmp_path / "shop.db")
    for table in ("my-docs", "my_docs", "docs"):
        db.execute(f'CREATE TABLE "{table}" (id INTEGER PRIMARY KEY, body TEXT)')
        db.execute(f"INSERT INTO \"{table}\" VALUES (1, 'a body of words')")
    db.commit()
    db.close()
    folder = Folder(tmp_path, {"SEMILAYER_DAGSTER_URL": "http://127.0.0.1:1"})

    assert folder.run("init", "--connection", "sqlite:///shop.db").exit_code == 0
    assert len(lenses(folder)) == 3
    assert folder.run("push").exit_code == 0


def test_a_database_that_does_not_answer_is_told_as_such(tmp_path: Path) -> None:
    folder = Folder(tmp_path)

    said = folder.run("init", "--connection", "postgresql://nobody@127.0.0.1:1/shop")

    assert said.exit_code == 4, said.output
    assert "cannot be reached" in said.stderr
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_to_is_told(shop: Folder) -> None:
    database = shop.database.with_name("shop.db")
    nobodys = Folder(Path("/proc"), shop.environ)

    refused = nobodys.run("init", "--connection", f"sqlite:///{database}")

    assert refused.exit_code == 2, refused.output
    assert "Cannot write to /proc: " in refused.stderr
