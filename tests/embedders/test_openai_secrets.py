"""The endpoint's address and key: checked early, and shown to nobody."""

import logging
import sys
from functools import partial

import pytest

from semilayer_pipelines.embedders.event_loop import run
from semilayer_pipelines.errors import ConfigError, ModelUnavailable, SemilayerError
from semilayer_pipelines.redaction import redact_logs
from tests.embedders.conftest import KEY, Embedding
from tests.embedders.endpoint import Endpoint, Reply


def test_a_missing_key_names_its_variable_at_the_first_use_only(endpoint: Endpoint) -> None:
    made = Embedding(endpoint.url, api_key="${EMBED_KEY}")
    made.environ.clear()

    assert made.embedder.fingerprint == "openai:small"
    with pytest.raises(ConfigError, match="EMBED_KEY, which is not set"):
        made.embed(["abc"])


def test_the_key_is_in_no_message_log_or_repr(
    endpoint: Endpoint, embedding: Embedding, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    endpoint.replies.append(Reply(401, f"Incorrect key: {KEY}".encode()))

    with pytest.raises(ModelUnavailable, match=r"Incorrect key: \*\*\*") as caught:
        embedding.embed(["abc"])

    assert KEY not in str(caught.value) + repr(embedding.embedder) + caplog.text
    assert "/v1/embeddings" in caplog.text  # the HTTP library did log


@pytest.mark.parametrize("token", ["plain-words-in-a-path", "sk-abcdefghijklmnopqrstuvwx/more"])
def test_what_a_variable_puts_into_the_address_is_in_no_log(
    endpoint: Endpoint,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
    token: str,
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    request.addfinalizer(partial(logging.setLogRecordFactory, logging.getLogRecordFactory()))
    redact_logs()  # as a run does
    base = endpoint.url.removesuffix("/v1")
    made = Embedding(f"{base}/${{TOKEN}}/v1?password=${{TOKEN}}", batch=True)
    made.environ["TOKEN"] = token
    endpoint.replies.append(Reply(500))

    made.embed(["abc"])
    assert made.embedder.batches is not None
    with pytest.raises(SemilayerError) as caught:
        run(made.embedder._endpoint.call("GET", "/files/missing", once=True))

    assert all(token in path for path in endpoint.paths)
    for part in token.split("/"):
        assert part not in caplog.text + str(caught.value)
    # Another's requests are logged as before.
    Embedding(endpoint.url).embed(["abc"])
    assert "/v1/embeddings" in caplog.text


def test_a_key_that_cannot_be_a_header_is_refused_without_quoting_it(endpoint: Endpoint) -> None:
    made = Embedding(endpoint.url, api_key="${EMBED_KEY}")
    made.environ["EMBED_KEY"] = "sk-secret\nsk-other"

    with pytest.raises(ConfigError, match="EMBED_KEY") as caught:
        made.embed(["abc"])

    assert "sk-" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    ["localhost:8000/v1", "ftp://host/v1", "http://", "http://host:many/v1", "http://[::1/v1"],
)
def test_an_address_that_is_none_is_refused_when_opened(url: str) -> None:
    with pytest.raises(ConfigError, match="not the address"):
        Embedding(url)


def test_a_password_in_the_address_is_refused_without_quoting_it() -> None:
    with pytest.raises(ValueError, match="holds a password"):
        Embedding("http://me:hunter2@host/v1")

    made = Embedding("http://${WHO}host/v1")
    made.environ["WHO"] = "me:hunter2@"
    with pytest.raises(ConfigError, match="user name or a password") as caught:
        made.embed(["abc"])

    assert "hunter2" not in str(caught.value)


def test_a_variable_in_the_address_is_filled_in_when_it_is_called(endpoint: Endpoint) -> None:
    endpoint.replies.append(Reply(401, b"no"))
    made = Embedding("${BASE}?api-key=${EMBED_KEY}")
    made.environ["BASE"] = endpoint.url

    with pytest.raises(ModelUnavailable) as caught:
        made.embed(["abc"])

    assert endpoint.paths[0].endswith(f"?api-key={KEY}")
    assert KEY not in str(caught.value)


def test_a_variable_in_the_address_that_is_not_set_is_named_at_the_first_use() -> None:
    made = Embedding("${NO_BASE}/v1")

    with pytest.raises(ConfigError, match="NO_BASE is not set"):
        made.embed(["abc"])


def test_the_fingerprint_is_the_model_and_not_its_address() -> None:
    here, there = Embedding("http://one/v1"), Embedding("http://two/v1")
    other = Embedding("http://one/v1", dimensions=256, revision="2")

    assert here.embedder.fingerprint == there.embedder.fingerprint == "openai:small"
    assert other.embedder.fingerprint == "openai:small@2:256"


PAGE = "<html>You sent: Authorization: Bearer {}</html>"


@pytest.mark.parametrize(
    "reply",
    [
        Reply(401, ("x" * 285 + KEY).encode()),
        Reply(200, PAGE.format(KEY).encode()),
        Reply(200, f'{{"headers": {{"authorization": "Bearer {KEY}"}}}}'.encode()),
        Reply(200, ("x" * 285 + KEY).encode()),
    ],
    ids=["cut", "page", "echo", "cut page"],
)
def test_no_part_of_the_key_is_shown_whatever_answers(
    endpoint: Endpoint, embedding: Embedding, reply: Reply
) -> None:
    endpoint.replies.append(reply)

    with pytest.raises(SemilayerError) as caught:
        embedding.embed(["abc"])

    assert KEY[:8] not in str(caught.value)
    assert "***" in str(caught.value)


def test_a_variable_in_the_path_is_not_shown_by_a_page_that_quotes_it(endpoint: Endpoint) -> None:
    made = Embedding(f"{endpoint.url}/${{TENANT}}")
    made.environ["TENANT"] = "tn-very-secret"
    endpoint.replies.append(Reply(404, b"Cannot POST /v1/tn-very-secret/embeddings"))

    with pytest.raises(ModelUnavailable, match=r"Cannot POST /v1/\*\*\*/embeddings"):
        made.embed(["abc"])


def test_a_secret_in_a_field_is_found_without_what_stands_around_it(endpoint: Endpoint) -> None:
    made = Embedding(endpoint.url, request={"passage": {"user": "shop-${EMBED_KEY}"}})
    endpoint.replies.append(Reply(401, f"no user {KEY} here".encode()))

    with pytest.raises(ModelUnavailable, match=r"no user \*\*\* here"):
        made.embed(["abc"])
