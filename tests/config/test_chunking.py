"""What `chunking` of a lens may say, and what is said of mistakes."""

from __future__ import annotations

from pathlib import Path

import pytest

from semilayer_pipelines.config.chunking import ChunkingConfig
from semilayer_pipelines.config.load import load_config
from semilayer_pipelines.errors import ConfigError
from semilayer_pipelines.registry.stored_config import lens_from_json, to_json, with_defaults

LENS = """\
stack: docs
sources:
  main: {bridge: sql, connection: "sqlite:///x.db"}
lenses:
  pages:
    source: main
    table: pages
    fields:
      title: {type: text, searchable: true}
      body: {type: text, searchable: true}
      section: {type: text}
"""


def chunking(folder: Path, written: str) -> ChunkingConfig:
    file = folder / "sl.config.yaml"
    file.write_text(f"{LENS}    chunking: {written}\n")
    return load_config(file).lenses["pages"].chunking


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("auto", ChunkingConfig()),
        ("off", ChunkingConfig(mode="off")),
        ("{mode: off}", ChunkingConfig(mode="off")),
        ("false", ChunkingConfig(mode="off")),
        ("{size: 200, overlap: 20}", ChunkingConfig(size=200, overlap=20)),
        ("{fields: body, by: sentence}", ChunkingConfig(fields=("body",), by="sentence")),
    ],
)
def test_the_ways_to_say_how_texts_are_cut(
    tmp_path: Path, written: str, read: ChunkingConfig
) -> None:
    assert chunking(tmp_path, written) == read


def test_texts_are_cut_by_default(tmp_path: Path) -> None:
    file = tmp_path / "sl.config.yaml"
    file.write_text(LENS)

    assert load_config(file).lenses["pages"].chunking == ChunkingConfig()


@pytest.mark.parametrize("written", ["off", "{size: 200, fields: [body]}"])
def test_the_registry_gives_back_what_was_written(tmp_path: Path, written: str) -> None:
    file = tmp_path / "sl.config.yaml"
    file.write_text(f"{LENS}    chunking: {written}\n")
    lens = load_config(file).lenses["pages"]

    assert lens_from_json(to_json(lens)) == lens
    assert lens_from_json(with_defaults(lens)) == lens


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("on", "chunking.mode: expected one of auto, off; got 'on'"),
        ("{size: 100, overlap: 100}", "an overlap of 100 is more than half of the size, 100"),
        ("{size: 100, overlap: 51}", "write 'overlap: 12' or less than 51"),
        ("{size: 3}", "chunking.size: the value should be greater than or equal to 16; got 3"),
        ("{overlap: -1}", "chunking.overlap"),
        ("{fields: [bdy]}", "there is no field 'bdy' (did you mean 'body'?)"),
        ("{fields: [section]}", "field 'section' is not searchable, so it is not embedded"),
        ("{by: word}", "chunking.by: expected one of structure, paragraph, sentence; got 'word'"),
        ("{mode: off, size: 100}", "'mode: off' cuts nothing; remove the other keys"),
        ("{chunk_size: 5}", "there are mode, size, overlap, fields, by"),
        ("5", "chunking: expected a mapping of keys; got 5"),
    ],
)
def test_a_mistake_is_told_with_its_line_and_the_cure(
    tmp_path: Path, written: str, said: str
) -> None:
    with pytest.raises(ConfigError) as error:
        chunking(tmp_path, written)

    assert "sl.config.yaml:12: lenses.pages.chunking" in error.value.message
    assert said in error.value.message
