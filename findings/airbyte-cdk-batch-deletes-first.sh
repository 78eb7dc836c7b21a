#!/usr/bin/env bash
# Package: airbyte-cdk 7.39.1, with its extra `vector-db-based`.
#
# Behaviour: the vector destinations' `Writer` collects records until a batch is full. It then
# deletes the old chunks of all of them first, and indexes all new chunks after that. A row that
# was inserted and deleted within a batch stays in the index. A row that was updated twice within
# a batch is in it twice, old and new. With one record a batch, the index is right.
#
# A good guess: the last record of a key wins, wherever a batch ends. The docstring of `process`
# says that the id to delete is there "to avoid stale documents in the vector store". Airbyte's
# page "Incremental Sync - Append + Deduped" expects no second copy of a primary key.
#
# For a vector index in sync with SQL tables: a source that reads a change log sends each change.
# A row that came and went between two flushes is found for ever, as no later record names it.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install -q 'airbyte-cdk[vector-db-based]==7.39.1' 'tiktoken==0.14.0'

venv/bin/python -W ignore - <<'PY'
import sqlite3

import tiktoken
from airbyte_cdk.destinations.vector_db_based.config import (
    FakeEmbeddingConfigModel,
    ProcessingConfigModel,
)
from airbyte_cdk.destinations.vector_db_based.embedder import FakeEmbedder
from airbyte_cdk.destinations.vector_db_based.indexer import Indexer
from airbyte_cdk.destinations.vector_db_based.writer import Writer
from airbyte_cdk.models import (
    AirbyteMessage,
    AirbyteRecordMessage,
    AirbyteStream,
    ConfiguredAirbyteCatalog,
    ConfiguredAirbyteStream,
    DestinationSyncMode,
    SyncMode,
    Type,
)

# The splitter counts tokens of GPT-2, whose words it would download. Bytes do as well here.
tiktoken.registry.ENCODINGS["gpt2"] = tiktoken.Encoding(
    "gpt2",
    pat_str=r"(?s).+",
    mergeable_ranks={bytes([byte]): byte for byte in range(256)},
    special_tokens={},
)

CATALOG = ConfiguredAirbyteCatalog(
    streams=[
        ConfiguredAirbyteStream(
            stream=AirbyteStream(
                name="items", json_schema={}, supported_sync_modes=[SyncMode.incremental]
            ),
            sync_mode=SyncMode.incremental,
            destination_sync_mode=DestinationSyncMode.append_dedup,
            primary_key=[["id"]],
        )
    ]
)
CHANGES = [
    {"id": 1, "name": "tea"},
    {"id": 1, "name": "green tea"},
    {"id": 2, "name": "rice"},
    {"id": 2, "name": "rice", "_ab_cdc_deleted_at": "2026-01-01T00:00:00Z"},
]


class Table(Indexer):
    """An index in SQLite that deletes and inserts what the writer asks for."""

    def __init__(self):
        super().__init__(config=None)
        self.db = sqlite3.connect(":memory:")
        self.db.execute("CREATE TABLE chunks (record TEXT, content TEXT)")

    def check(self):
        return None

    def delete(self, delete_ids, namespace, stream):
        self.db.executemany("DELETE FROM chunks WHERE record = ?", [(key,) for key in delete_ids])

    def index(self, document_chunks, namespace, stream):
        self.db.executemany(
            "INSERT INTO chunks VALUES (?, ?)",
            [(chunk.metadata["_ab_record_id"], chunk.page_content) for chunk in document_chunks],
        )


def indexed(batch_size):
    table = Table()
    writer = Writer(
        ProcessingConfigModel(chunk_size=100, text_fields=["name"], metadata_fields=["id"]),
        table,
        FakeEmbedder(FakeEmbeddingConfigModel()),
        batch_size=batch_size,
        omit_raw_text=False,
    )
    records = [AirbyteRecordMessage(stream="items", data=row, emitted_at=0) for row in CHANGES]
    messages = [AirbyteMessage(type=Type.RECORD, record=record) for record in records]
    for _ in writer.write(CATALOG, messages):
        pass
    return table.db.execute("SELECT * FROM chunks ORDER BY rowid").fetchall()


one, many = indexed(1), indexed(32)
print(f"a batch of 1:   {one}")
print(f"a batch of 32:  {many}")
tea, green = ("items_1", "name: tea"), ("items_1", "name: green tea")
assert one == [green], "the index after batches of one record changed"
assert many == [tea, green, ("items_2", "name: rice")], "the index after one batch changed"
PY
