"""What a request asks for: its JSON body checked, with messages that name the field.

Unknown fields are ignored, and so are fields of OpenAI's that change nothing here (`user`). Fields
that would change the vectors are honoured or refused, never ignored.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from semilayer_pipelines.config.prompts import MAX_PROMPT_CHARACTERS
from semilayer_pipelines.embedder_service.json_body import json_object
from semilayer_pipelines.embedder_service.model import ServedModel
from semilayer_pipelines.embedder_service.problems import Problem, bad_request, no_such_model
from semilayer_pipelines.embedders.checks import check_texts
from semilayer_pipelines.embedders.served import PROMPT
from semilayer_pipelines.errors import EmbeddingRejected

__all__ = ["MAX_TEXTS", "EmbeddingsRequest", "Encoding", "read_request"]

MAX_TEXTS = 2048
"""Texts in one request, as with OpenAI."""


class Encoding(StrEnum):
    """How vectors are written."""

    FLOAT = "float"
    BASE64 = "base64"


@dataclass(frozen=True)
class EmbeddingsRequest:
    """Texts, one at least, and how their vectors are to be written.

    Each text is read behind the `prompt`; `None` is the one for texts of neither side.
    """

    texts: list[str]
    encoding: Encoding
    prompt: str | None = None


def read_request(body: bytes, model: ServedModel) -> EmbeddingsRequest:
    """Return what the body asks for; raise `Problem` when it is wrong or for another model."""
    fields = json_object(body)
    _check_model(fields.get("model"), model)
    _check_dimensions(fields.get("dimensions"), model)
    return EmbeddingsRequest(
        _texts(fields.get("input")),
        _encoding(fields.get("encoding_format")),
        _prompt(fields.get(PROMPT), needed=model.must_be_prompted(fields["model"])),
    )


def _check_model(given: Any, model: ServedModel) -> None:
    if not isinstance(given, str):
        raise bad_request(f"'model' is missing; {model.name!r} is served here.", param="model")
    if not model.answers_to(given):
        raise no_such_model(given[:200], model.name)


def _check_dimensions(given: Any, model: ServedModel) -> None:
    if given is not None and given != model.dimension:
        raise bad_request(
            f"'dimensions' cannot be chosen: the vectors have {model.dimension} numbers.",
            param="dimensions",
        )


def _prompt(given: Any, *, needed: bool) -> str | None:
    if given is None and needed:
        raise bad_request(f"This name of the model needs a {PROMPT!r}.", param=PROMPT)
    if given is None:
        return None
    if not isinstance(given, str) or len(given) > MAX_PROMPT_CHARACTERS:
        raise bad_request(
            f"{PROMPT!r} is no text of at most {MAX_PROMPT_CHARACTERS} characters.", param=PROMPT
        )
    try:
        check_texts([given])
    except EmbeddingRejected as error:
        raise bad_request(error.message, param=PROMPT) from None
    return given


def _encoding(given: Any) -> Encoding:
    try:
        return Encoding(given or Encoding.FLOAT)
    except ValueError:
        raise bad_request(
            "'encoding_format' is neither 'float' nor 'base64'.", param="encoding_format"
        ) from None


def _texts(given: Any) -> list[str]:
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not texts:
        raise _bad_input("'input' is neither a text nor a list of texts.")
    if len(texts) > MAX_TEXTS:
        raise _bad_input(f"'input' has {len(texts)} texts; {MAX_TEXTS} are the most.")
    for position, text in enumerate(texts):
        if not isinstance(text, str):
            raise _bad_input(f"'input' holds something at position {position} that is no text.")
    try:
        check_texts(texts)
    except EmbeddingRejected as error:
        raise _bad_input(error.message) from None
    return texts


def _bad_input(message: str) -> Problem:
    return bad_request(message, param="input")
