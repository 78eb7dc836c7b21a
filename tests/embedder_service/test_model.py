"""The real model behind the service gives the vectors of the real model here."""

import pytest

from semilayer_pipelines.config.embedding import EmbeddingConfig
from semilayer_pipelines.embedder_service import open_model
from semilayer_pipelines.embedders import open_embedder
from semilayer_pipelines.embedders.local.probe import closeness
from tests.embedder_service.service import running, wait_until

pytestmark = pytest.mark.model


def test_a_run_gets_the_same_vectors_with_the_service_as_without() -> None:
    config = EmbeddingConfig()
    texts = ["a cat on a mat", "", "x y " * 400, "kettle", "a cat on a mat"]
    local = open_embedder(config, environ={})
    expected = local.embed(texts)

    with running(lambda: open_model(config)) as service:
        wait_until(lambda: service.http.get("/healthz").is_success, "the model")
        through = open_embedder(config, environ={}, service=service.url)
        done = through.embed(texts)
        [entry] = service.http.get("/v1/models").json()["data"]
        usage = service.ask(["a cat"], model=config.model).json()["usage"]
        batches = service.number("batches_total")

    assert through.fingerprint == local.fingerprint == entry["fingerprint"]
    assert entry["dimension"] == expected.vectors.shape[1] == 384
    # Another batch may pad differently, which moves the last bits, of few in half precision.
    assert closeness(done.vectors, expected.vectors).least > 0.999
    assert done.truncated.tolist() == [False, False, True, False, False]
    assert usage["prompt_tokens"] == 4  # the two words, a start and an end
    assert batches >= 2
