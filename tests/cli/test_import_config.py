"""What another product reads becomes an sl.config.yaml that loads; what is left out is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from semilayer_pipelines.config.load import load_config
from tests.cli.project import ROOT, Folder

PRODUCT = r"""
import { defineConfig } from '@semilayer/core'
import type { Config } from '@semilayer/core'

const often = '5m' as const
const base = { source: 'main', syncInterval: often }
const host = `db.${'internal'}`

// a helpdesk
export default defineConfig({
  stack: 'helpdesk',
  sources: {
    main: { bridge: '@semilayer/bridge-postgres', connectionString: process.env.DATABASE_URL!, pool: { max: 5 } },
    files: { bridge: '@semilayer/bridge-sqlite', path: './files.db', timeout: 10_000 },
    leaky: { bridge: '@semilayer/bridge-mysql', url: `mysql://me:hunter2@${host}/shop` },
    docs: { bridge: '@semilayer/bridge-mongodb', url: process.env['MONGO'] },
  },
  lenses: {
    articles: {
      ...base,
      table: 'public.kb_articles',
      smartSyncInterval: '24h',
      changeTrackingColumn: 'updatedAt',
      fields: {
        id: { type: 'number', primaryKey: true, from: 'article_id' },
        title: { type: 'text', searchable: { weight: 3 } },
        body: {
          type: 'text', searchable: true,
          transform: [{ type: 'trim' }, { type: 'truncate', length: 8000 }, { type: 'custom', body: 'return value' }],
        },
        author: { type: 'text', from: ['first', 'last'], merge: 'concat', separator: ' ', nullAs: 'unknown' },
        product: { type: 'enum', values: ['web', 'mobile'] },
        rank: { type: 'number', nullAs: -1 },
        updatedAt: { type: 'date', from: 'updated_at' },
        odd: { type: 'vector' },
        owner: { type: 'relation' },
        sized: { type: 'text', transform: [{ type: 'truncate', length: limit() }] },
      },
      grants: { search: () => true },
      relations: { comments: { lens: 'comments' } },
    },
    notes: { source: process.env.NOTES_SOURCE ?? 'files', table: 'notes', fields: { text: { type: 'text', searchable: true } } },
    files: { source: 'files', table: 'notes', syncInterval: '2m', fields: { 'text': { type: 'text', searchable: true } } },
    shop: { source: 'leaky', table: 'goods', fields: { name: { type: 'text', searchable: true } } },
    papers: { source: 'docs', table: 'papers', fields: {} },
  },
  auth: { jwks: 'https://example.org' },
} satisfies Config)
"""  # noqa: E501

VECTORIZERS = """
CREATE TABLE blog (id int PRIMARY KEY, title text, contents text);
SELECT ai.create_vectorizer(
  'public.blog'::regclass,
  name => 'blog_search',
  loading => ai.loading_column('contents'),
  embedding => ai.embedding_openai('text-embedding-3-small', 768),
  chunking => ai.chunking_recursive_character_text_splitter(chunk_size => 700),
  formatting => ai.formatting_python_template('title: $title $chunk'),
  scheduling => ai.scheduling_timescaledb(interval '10 minutes'),
  destination => ai.destination_table('blog_embeddings'),
  grant_to => ai.grant_to('reader')
);
select ai.create_vectorizer(
  'wiki'::regclass, destination => 'wiki_embeddings',
  embedding => ai.embedding_ollama('all-minilm', 384, base_url => 'http://ollama:11434'),
  chunking => ai.chunking_recursive_character_text_splitter('text'));
SELECT ai.create_vectorizer('papers', loading => ai.loading_uri(column_name => 'uri'),
  embedding => ai.embedding_litellm('x/y', 10), chunking => ai.chunking_none());
"""


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """An empty folder."""
    return Folder(tmp_path, {"SEMILAYER_DAGSTER_URL": "http://127.0.0.1:1"})


def left(told: dict[str, list[dict[str, object]]]) -> dict[str, str]:
    return {str(note["what"]): str(note["why"]) for note in told["notes"]}


def test_a_config_of_the_product_is_taken_over_and_the_rest_is_told(folder: Folder) -> None:
    (folder.path / "sl.config.ts").write_text(PRODUCT)

    told = folder.json("import", "sl.config.ts")

    config = load_config(folder.path / "sl.config.yaml")
    assert (config.stack, list(config.lenses)) == ("helpdesk", ["articles", "files", "shop"])
    articles = config.lenses["articles"]
    assert articles.table == "public.kb_articles"
    assert (articles.sync_interval, articles.smart_sync_interval) == ("5m", "24h")
    assert articles.primary_key == ("article_id",)
    assert articles.change_tracking_column == ("updated_at",)
    assert articles.fields["title"].searchable is not None
    assert articles.fields["title"].searchable.weight == 3
    assert [step.type for step in articles.fields["body"].transform] == ["trim", "truncate"]
    assert articles.fields["author"].from_ == ("first", "last")
    assert articles.fields["rank"].null_as == -1
    assert config.sources["main"].connection == "${DATABASE_URL}"
    assert config.sources["files"].connection == "sqlite:///./files.db"
    assert config.sources["files"].timeout == 10_000

    notes = left(told)
    assert "semilayer keys" in notes["auth"]
    assert "module:function" in notes["lenses.articles.fields.body.transform"]
    assert "no bridge for '@semilayer/bridge-mongodb'" in notes["sources.docs"]
    assert "its source 'docs'" in notes["lenses.papers"]
    assert "`limit()`" not in str(config)
    assert {"lenses.articles.grants", "lenses.articles.relations", "sources.main.pool"} <= set(
        notes
    )
    assert any(what.startswith("lenses.articles.fields.odd") for what in notes)
    assert any(what.startswith("lenses.files.syncInterval") for what in notes)
    lines = {note["what"]: note["line"] for note in told["notes"]}
    assert PRODUCT.splitlines()[int(lines["auth"]) - 1].strip().startswith("auth:")


def test_a_secret_in_the_file_is_not_copied(folder: Folder) -> None:
    (folder.path / "sl.config.ts").write_text(PRODUCT)

    done = folder.run("import", "sl.config.ts")

    written = (folder.path / "sl.config.yaml").read_text()
    assert "hunter2" not in written + done.output
    assert "connection: ${SEMILAYER_SOURCE_LEAKY_URL}" in written
    assert "# - line" in written


def test_vectorizers_of_pgai_become_lenses(folder: Folder) -> None:
    (folder.path / "vectorizers.sql").write_text(VECTORIZERS)

    told = folder.json("import", "vectorizers.sql")

    config = load_config(folder.path / "sl.config.yaml")
    assert list(config.lenses) == ["blog_search", "wiki"]
    blog, wiki = config.lenses.values()
    assert (blog.table, wiki.table) == ("blog", "wiki")
    assert list(blog.fields) == ["title", "contents"]
    assert all(field.searchable for field in blog.fields.values())
    assert blog.smart_sync_interval in ("5m", "15m")
    assert (blog.embedding.model, blog.embedding.dimensions) == ("text-embedding-3-small", 768)
    assert blog.embedding.api_key == "${OPENAI_API_KEY}"
    assert wiki.embedding.url == "http://ollama:11434/v1"
    assert list(wiki.fields) == ["text"]
    notes = left(told)
    assert "not embedded" in notes["blog, formatting"]
    assert {"blog, destination", "blog, grant_to", "papers, loading"} <= set(notes)


def test_vectorizers_of_pgai_are_found_in_blocks_of_a_migration(folder: Folder) -> None:
    (folder.path / "migration.sql").write_text(
        "CREATE TABLE notes (id int PRIMARY KEY, body text);\n"
        "DO $$\nDECLARE wanted text := 'notes';\nBEGIN\n  IF NOT EXISTS (SELECT 1 FROM done) THEN\n"
        "    PERFORM ai.create_vectorizer('notes'::regclass,\n"
        "      loading => ai.loading_column('body'),\n"
        "      formatting => ai.formatting_python_template($f$(a) $chunk$f$));\n"
        "    PERFORM ai.create_vectorizer(wanted, loading => ai.loading_column('body'));\n"
        "  END IF;\nEND $$ LANGUAGE plpgsql;\n"
        "do language plpgsql $body$ begin perform\n"
        "  ai.create_vectorizer('memos', loading => ai.loading_column('text')); end $body$;\n"
    )

    told = folder.json("import", "migration.sql")

    config = load_config(folder.path / "sl.config.yaml")
    assert [(lens.table, list(lens.fields)) for lens in config.lenses.values()] == [
        ("notes", ["body"]),
        ("memos", ["text"]),
    ]
    assert "its table is not written out" in left(told)["ai.create_vectorizer"]


def test_a_javascript_module_is_read_as_well(folder: Folder) -> None:
    (folder.path / "old.js").write_text(
        "const url = process.env.DB || 'sqlite:///a.db'\n"
        "module.exports = { stack: 'a', sources: { m: { bridge: 'bridge-sqlite', url } },\n"
        "  lenses: { n: { source: 'm', table: 'n',\n"
        "    fields: { t: { type: 'text', 'searchable': true } } } } }"
    )

    folder.run("import", "old.js")

    config = load_config(folder.path / "sl.config.yaml")
    assert config.sources["m"].connection == "${DB:-sqlite:///a.db}"


ODD = r"""
#!/usr/bin/env node
enum Kind { Text = 'text' }
const KEY = 'orders'
const fields = { /* one */ title: { type: /* two */ 'text', searchable: true } } as const
const config = ( /* three */ <Config>{
  stack: 'caf\u00e9 \ud83d\ude00', // an emoji is two escapes
  sources: { main: { bridge: '@semilayer/bridge-postgres', timeout: 5_000n,
    url: `postgres://${ /* four */ process.env.DB_USER}@${process.env.DB_HOST ?? 'here'}/shop` } },
  lenses: {
    goods: { source: 'main', table: 'goods', fields: {
      ...( /* five */ fields), size: { type: Kind.Text }, loop: { ...looping } } },
    [KEY]: { source: 'main', table: 'orders', fields },
    'weird key!': { source: 'main', table: 'weird', fields },
    __proto__: { source: 'main', table: 'prototypes', fields },
    empty: { source: 'main', table: 'empty', fields: { a: { type: Kind.Text } } },
  },
})
const looping = { again: [looping, looping, looping, looping], ...looping }
"""


@pytest.mark.parametrize(
    "end", ["export default config", "export { KEY, config as default }", "export = config"]
)
def test_odd_but_valid_typescript_is_read(folder: Folder, end: str) -> None:
    (folder.path / "odd.ts").write_text(ODD + end)

    told = folder.json("import", "odd.ts")

    config = load_config(folder.path / "sl.config.yaml")
    assert config.stack == "café 😀"
    assert config.sources["main"].connection == "postgres://${DB_USER}@${DB_HOST:-here}/shop"
    assert config.sources["main"].timeout == 5_000
    assert list(config.lenses) == ["goods", "orders", "weird_key", "proto"]
    assert all(lens.fields["title"].searchable for lens in config.lenses.values())
    notes = left(told)
    assert "no field of it is left" in notes["lenses.empty"]
    assert "it is called weird_key here" in notes["lenses.weird key!"]


@pytest.mark.parametrize("name", ["a.ts", "a.sql"])
def test_a_file_of_windows_is_read(folder: Folder, name: str) -> None:
    text = (
        "export default { stack: 'a',\n  sources: { m: { bridge: 'sqlite', path: 'a.db' } },\n"
        "  lenses: { n: { source: 'm', table: 'n',\n"
        "    fields: { t: { type: 'text', searchable: true } } } } }\n"
        if name == "a.ts"
        else "SELECT ai.create_vectorizer(\n  'n', loading => ai.loading_column('t'));\n"
    )
    marked = b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode()
    (folder.path / name).write_bytes(marked)

    assert folder.json("import", name)["lenses"] == ["n"]


def test_sql_around_the_calls_is_passed_over(folder: Folder) -> None:
    (folder.path / "all.sql").write_text(
        """
        BEGIN;
        CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
        ALTER TABLE shop.blog ENABLE ROW LEVEL SECURITY;
        INSERT INTO shop.blog VALUES (1, 'it''s; -- no comment');
        SELECT ai.create_vectorizer(source := 'shop.blog'::regclass,
          loading := ai.loading_column(column_name := 'Body Text'),
          formatting => ai.formatting_python_template($t$$title
        $chunk$t$));
        SELECT * FROM AI.Create_Vectorizer('crm.blog', loading => ai.loading_column('body'),
          embedding => ai.embedding_openai('m', 3, base_url => 'http://me:hunter2@host/v1'));
        SELECT ai.create_vectorizer(to_regclass('t'), loading => ai.loading_column('body'));
        COMMIT;
        """
    )

    done = folder.run("import", "all.sql")

    config = load_config(folder.path / "sl.config.yaml")
    assert {name: lens.table for name, lens in config.lenses.items()} == {
        "blog": "shop.blog",
        "blog_2": "crm.blog",
    }
    assert list(config.lenses["blog"].fields) == ["title", "Body_Text"]
    assert "left  ai.create_vectorizer: left out: its table is not written out" in done.output
    assert "left  lenses.blog_2.embedding: left out: holds a password" in done.output
    assert "unsupported syntax" not in done.output + done.stderr


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("a.ts", "export default {\n  stack: 'x',\n  lenses: {\n", "line"),
        ("a.ts", "const a = 1", "exports no configuration"),
        ("a.ts", "export default build()", "no `lenses` that can be read without running it"),
        ("a.ts", "const a = b\nconst b = a\nexport default a", "no `lenses`"),
        ("a.sql", "SELECT 1", "no call of ai.create_vectorizer"),
        ("a.sql", "SELECT (((", "no SQL that can be read"),
        ("a.toml", "x = 1", "neither an sl.config.ts nor a file of SQL"),
    ],
)
def test_a_file_that_is_none_is_told_with_its_place(
    folder: Folder, name: str, text: str, told: str
) -> None:
    (folder.path / name).write_text(text)

    done = folder.run("import", name)

    assert done.exit_code == 2
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    assert not (folder.path / "sl.config.yaml").exists()


def test_a_configuration_that_is_there_stays(folder: Folder) -> None:
    (folder.path / "a.ts").write_text(PRODUCT)
    (folder.path / "sl.config.yaml").write_text("mine")

    assert folder.run("import", "a.ts").exit_code == 3
    assert (folder.path / "sl.config.yaml").read_text() == "mine"


def test_a_file_that_is_missing_is_told(folder: Folder) -> None:
    assert folder.run("import", "none.ts").exit_code == 2


def test_dagster_starts_in_the_folder_of_what_was_taken_over(folder: Folder) -> None:
    (folder.path / "sl.config.ts").write_text(PRODUCT)

    told = folder.json("import", "sl.config.ts")

    assert told["beside"] == ["dagster.yaml", "workspace.yaml", "dg.toml"]
    assert (folder.path / "dagster.yaml").read_bytes() == (ROOT / "dagster.yaml").read_bytes()


def test_names_that_are_not_ascii_are_taken_over(folder: Folder) -> None:
    (folder.path / "vectors.sql").write_text(
        "SELECT ai.create_vectorizer('artikel', loading => ai.loading_column('Größe lang'));\n"
        "SELECT ai.create_vectorizer('商品', loading => ai.loading_column('本文'));\n",
        encoding="utf-8",
    )

    assert folder.run("import", "vectors.sql").exit_code == 0

    taken = load_config(folder.path / "sl.config.yaml").lenses
    assert {name: lens.table for name, lens in taken.items()} == {
        "artikel": "artikel",
        "table": "商品",
    }
    assert taken["artikel"].fields["Grosse_lang"].from_ == ("Größe lang",)


def test_why_nothing_could_be_taken_is_told(folder: Folder) -> None:
    (folder.path / "vectors.sql").write_text("SELECT ai.create_vectorizer(wanted);\n")

    done = folder.run("import", "vectors.sql")

    assert done.exit_code == 2
    assert "ai.create_vectorizer: left out: its table is not written out." in done.stderr


def test_a_configuration_of_which_no_lens_can_be_taken_writes_no_file(folder: Folder) -> None:
    file = folder.path / "sl.config.ts"
    file.write_text(
        "export default { stack: 's', sources: { docs: { bridge: '@semilayer/bridge-mongodb' } },\n"
        "  lenses: { notes: { source: 'docs', table: 'notes', fields: {} } } }\n"
    )

    done = folder.run("import", "sl.config.ts")

    assert done.exit_code == 2
    assert "has no lens that can be taken over" in done.stderr
    assert "there is no bridge for '@semilayer/bridge-mongodb'" in done.stderr
    assert not (folder.path / "sl.config.yaml").exists()
