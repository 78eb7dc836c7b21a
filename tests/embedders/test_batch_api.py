"""What a provider is asked for its batches, and what its answers mean."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest
from starlette.responses import HTMLResponse, JSONResponse

from semilayer_pipelines.config.embedding import EmbeddingConfig
from semilayer_pipelines.embedders.batch_api import BatchApi, batches_of
from semilayer_pipelines.embedders.endpoint import forget_paces
from semilayer_pipelines.embedders.openai import OpenAIEmbedder
from semilayer_pipelines.errors import ConfigError, EmbedderUnavailable, ModelUnavailable
from tests.embedders.limited import Limited, limited

KEY = "sk-not-to-be-shown"


@pytest.fixture
def endpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Limited]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    forget_paces()
    with limited(has_batches=True) as running:
        yield running


def api_of(endpoint: Limited, **told: object) -> BatchApi:
    async def no_sleep(_: float) -> None:
        return None

    config = EmbeddingConfig.model_validate(
        {"provider": "openai", "model": "m", "url": endpoint.url, "apiKey": "${KEY}", "batch": True}
        | told
    )
    return batches_of(OpenAIEmbedder(config, environ={"KEY": KEY}, sleep=no_sleep))


def sent(api: BatchApi, ours: str) -> str:
    return api.send(ours, BytesIO(b"".join(api.line(f"text {n} of {ours}") for n in range(3))))


def test_a_line_asks_as_a_request_does(endpoint: Limited) -> None:
    passage = {"input_type": "document"}
    api = api_of(
        endpoint, dimensions=8, prompts={"passage": "passage: "}, request={"passage": passage}
    )
    there = api.create("one", api.send("one", BytesIO(api.line("a text"))))
    assert endpoint.batches.texts_of(endpoint.batches.batches[there.id]) == ["passage: a text"]
    assert b'"dimensions":8' in api.line("a text")
    assert b'"input_type":"document"' in api.line("a text")


def test_a_batch_is_found_by_our_id_on_any_page(endpoint: Limited) -> None:
    api = api_of(endpoint)
    endpoint.batches.pages = 2
    made = {ours: api.create(ours, sent(api, ours)).id for ours in "abcde"}

    assert {ours: getattr(api.find(ours), "id", None) for ours in made} == made
    assert api.find("another") is None
    assert api.find_file("another") is None
    assert api.find_file("a") in endpoint.batches.files


def test_what_is_not_there_is_no_error(endpoint: Limited) -> None:
    api = api_of(endpoint)
    assert api.get("batch-99") is None
    assert not api.fetch("file-99", BytesIO())
    api.delete("file-99")


def test_a_question_is_asked_again_and_an_order_is_not(endpoint: Limited) -> None:
    api, provider = api_of(endpoint), endpoint.batches
    there = api.create("one", sent(api, "one"))

    provider.lost["GET /batches/{id}"] = 2
    found = api.get(there.id)
    assert found is not None
    assert (found.id, found.status) == (there.id, "in_progress")
    provider.lost["POST /batches"] = 1
    with pytest.raises(EmbedderUnavailable, match="502"):
        api.create("two", sent(api, "two"))
    assert len(provider.batches) == 2


def test_a_refusal_says_what_to_do_and_shows_no_key(endpoint: Limited) -> None:
    refusal = JSONResponse({"error": {"message": f"wrong key {KEY}"}}, 401)
    endpoint.batches.refused["GET /batches"] = refusal
    with pytest.raises(ModelUnavailable) as refused:
        api_of(endpoint).find("one")
    assert "/v1/batches refuses: HTTP 401: wrong key ***" in refused.value.message
    assert "${KEY}" in refused.value.cure


def test_an_embedder_that_was_not_asked_for_batches_has_none(endpoint: Limited) -> None:
    with pytest.raises(ConfigError, match="has no batches"):
        api_of(endpoint, batch=False)


@pytest.mark.parametrize(
    ("code", "said", "full"),
    [
        ("token_limit_exceeded", "Enqueued token limit reached for m. Limit: 90,000 tokens.", True),
        (None, "Enqueued request limit reached for m. Limit: 1,000,000 enqueued requests.", True),
        ("invalid_json_line", "This line is not parseable as valid JSON.", False),
    ],
)
def test_a_batch_for_which_there_was_no_room_is_known_by_its_code_or_its_words(
    endpoint: Limited, code: str | None, said: str, full: bool
) -> None:
    api, provider = api_of(endpoint), endpoint.batches
    sent_batch = api.create("one", sent(api, "one"))
    provider.fail(provider.batches[sent_batch.id], code, said)

    failed = api.get(sent_batch.id)

    assert failed is not None
    assert (failed.ended, failed.full, failed.said) == (True, full, said)


@pytest.mark.parametrize("status", [400, 429])
def test_a_batch_that_is_refused_for_want_of_room_is_told_as_one_that_failed_for_it(
    endpoint: Limited, status: int
) -> None:
    api, provider = api_of(endpoint), endpoint.batches
    provider.queued, provider.says_so_at_once = 0, status

    refused = api.create("one", file := sent(api, "one"))

    assert (refused.id, refused.ended, refused.full, refused.files) == ("", True, True, (file,))
    assert "Enqueued token limit reached" in refused.said
    assert not provider.batches


def test_a_batch_that_is_being_cancelled_is_left_alone(endpoint: Limited) -> None:
    api, provider = api_of(endpoint), endpoint.batches
    api.cancel(api.create("one", sent(api, "one")))
    [ending] = provider.of("cancelling")

    found = api.get(ending["id"])
    assert found is not None
    api.cancel(found)

    assert not found.ended
    assert provider.asked["POST /batches/{id}/cancel"] == 1


@pytest.mark.parametrize(("told", "format"), [({}, True), ({"output_dtype": "int8"}, False)])
def test_bytes_are_asked_for_where_they_are_those_of_float32(
    told: dict[str, str], format: bool
) -> None:
    config = EmbeddingConfig.model_validate(
        {
            "provider": "openai",
            "model": "voyage-3.5",
            "url": "https://api.voyageai.com/v1",
            "request": {"passage": told},
            "batch": True,
        }
    )
    line = batches_of(OpenAIEmbedder(config, environ={})).line("a text")

    assert (b'"encoding_format":"base64"' in line) is format


def test_a_page_in_place_of_the_answers_is_no_batch_without_answers(endpoint: Limited) -> None:
    api = api_of(endpoint)
    file = sent(api, "one")
    page = HTMLResponse("  <html>Sign in to the guest network</html>")

    endpoint.batches.refused["GET /files/{id}/content"] = page
    with pytest.raises(EmbedderUnavailable, match="Something else answers"):
        api.fetch(file, BytesIO())

    endpoint.batches.refused.clear()
    assert api.fetch(file, into := BytesIO())
    assert into.getvalue().count(b"\n") == 3


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("POST /files", {"file_id": "file-1"}),
        ("GET /files", {"data": [{"filename": "semilayer-one.jsonl"}]}),
        ("GET /batches", {"data": ["batch-1"]}),
        ("POST /batches", {"batch": {"id": "batch-1"}}),
    ],
)
def test_what_has_another_form_than_openais_is_told(
    endpoint: Limited, asked: str, said: dict[str, object]
) -> None:
    api = api_of(endpoint)
    endpoint.batches.refused[asked] = JSONResponse(said)

    def as_a_run_does() -> None:
        if api.find("one") is None and api.find_file("one") is None:
            api.create("one", sent(api, "one"))

    with pytest.raises(EmbedderUnavailable, match="not what OpenAI says") as caught:
        as_a_run_does()

    assert "batch: true" in caught.value.cure
