from __future__ import annotations

import pytest

from semilayer_pipelines.errors import ConfigError
from semilayer_pipelines.stores.weaviate.settings import (
    Address,
    Consistency,
    Distance,
    IndexType,
    Quantization,
    WeaviateSettings,
)

LOCAL = {"WEAVIATE_URL": "http://localhost:8080"}


def test_a_local_server_needs_its_address_and_nothing_else() -> None:
    settings = WeaviateSettings.from_environ(LOCAL)
    assert settings.http == Address("localhost", 8080, False)
    assert settings.grpc == Address("localhost", 50051, False)
    assert (settings.index, settings.distance) == (IndexType.HNSW, Distance.COSINE)
    assert settings.quantization is Quantization.NONE


@pytest.mark.parametrize(
    ("url", "grpc"),
    [
        (
            "https://abc.c0.europe-west3.gcp.weaviate.cloud",
            "grpc-abc.c0.europe-west3.gcp.weaviate.cloud",
        ),
        ("https://abc.weaviate.network", "abc.grpc.weaviate.network"),
    ],
)
def test_a_cloud_cluster_has_grpc_on_a_host_of_its_own(url: str, grpc: str) -> None:
    settings = WeaviateSettings.from_environ({"WEAVIATE_URL": url})
    assert settings.http.port == 443
    assert settings.grpc == Address(grpc, 443, True)


def test_an_embedded_server_is_on_this_machine_on_ports_that_can_be_told() -> None:
    settings = WeaviateSettings.from_environ({"WEAVIATE_URL": "embedded"})
    assert settings.embedded
    assert (settings.http.port, settings.grpc.port) == (8079, 50050)
    told = {"WEAVIATE_URL": "embedded:9000", "WEAVIATE_GRPC_URL": "http://127.0.0.1:9001"}
    settings = WeaviateSettings.from_environ(told)
    assert (settings.http, settings.grpc.port) == (Address("127.0.0.1", 9000, False), 9001)


def test_everything_can_be_set() -> None:
    settings = WeaviateSettings.from_environ(
        {
            "WEAVIATE_URL": "https://db.example.org",
            "WEAVIATE_GRPC_URL": "https://grpc.example.org:8443",
            "WEAVIATE_API_KEY": "s3cret-key",
            "WEAVIATE_HEADERS": "X-Team=search, X-Stage=two=2",
            "WEAVIATE_QUERY_TIMEOUT": "5",
            "WEAVIATE_INSERT_TIMEOUT": "60.5",
            "WEAVIATE_TRUST_ENV": "true",
            "SSL_CERT_FILE": "/etc/ssl/ours.pem",
            "WEAVIATE_PREFIX": "Shop",
            "WEAVIATE_INDEX": "flat",
            "WEAVIATE_DISTANCE": "dot",
            "WEAVIATE_QUANTIZATION": "rq",
            "WEAVIATE_REPLICATION": "3",
        }
    )
    assert settings.http == Address("db.example.org", 443, True)
    assert settings.grpc == Address("grpc.example.org", 8443, True)
    assert settings.headers == (("X-Team", "search"), ("X-Stage", "two=2"))
    assert (settings.query_timeout, settings.insert_timeout) == (5.0, 60.5)
    assert settings.ca_file == "/etc/ssl/ours.pem"
    assert (settings.prefix, settings.replication) == ("Shop", 3)
    assert (settings.index, settings.distance) == (IndexType.FLAT, Distance.DOT)
    assert "s3cret-key" not in repr(settings)
    assert "s3cret-key" not in settings.shown


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"WEAVIATE_URL": ""}, "WEAVIATE_URL is not set"),
        ({"WEAVIATE_URL": "localhost:8080"}, "no http:// or https:// address"),
        ({"WEAVIATE_URL": "http://[::1"}, "no http:// or https:// address"),
        ({"WEAVIATE_URL": "http://me:hunter2@host"}, "holds a name or a password"),
        ({"WEAVIATE_API_KEY": "hunter2", "WEAVIATE_TOKEN": "hunter2"}, "are both set"),
        ({"WEAVIATE_HEADERS": "hunter2"}, "Name=value"),
        ({"WEAVIATE_INDEX": "hnws"}, "did you mean 'hnsw'"),
        ({"WEAVIATE_QUANTIZATION": "8bit"}, "none, rq, bq, sq, pq"),
        ({"WEAVIATE_QUERY_TIMEOUT": "soon"}, "number of seconds"),
        ({"WEAVIATE_QUERY_TIMEOUT": "0"}, "number of seconds"),
        ({"WEAVIATE_TRUST_ENV": "perhaps"}, "true or false"),
        ({"WEAVIATE_PREFIX": "a b"}, "letters and digits"),
        ({"WEAVIATE_REPLICATION": "many"}, "number of copies"),
    ],
    ids=str,
)
def test_a_setting_that_cannot_be_meant_is_refused_without_showing_a_secret(
    changed: dict[str, str], message: str
) -> None:
    with pytest.raises(ConfigError, match=message) as refused:
        WeaviateSettings.from_environ(LOCAL | changed)
    assert "hunter2" not in str(refused.value)


def test_one_address_for_both_apis_is_a_mistake_that_is_told() -> None:
    same = LOCAL | {"WEAVIATE_GRPC_URL": "http://localhost:8080"}
    with pytest.raises(ConfigError, match=r"the same address, localhost:8080") as told:
        WeaviateSettings.from_environ(same)
    assert "50051" in told.value.cure
    # Another host may have the same port.
    cloud = {"WEAVIATE_URL": "https://abc.weaviate.cloud"}
    assert WeaviateSettings.from_environ(cloud).grpc.port == 443


@pytest.mark.parametrize("value", ["one", "quorum", "ALL"])
def test_how_many_copies_must_answer_can_be_chosen(value: str) -> None:
    settings = WeaviateSettings.from_environ(LOCAL | {"WEAVIATE_CONSISTENCY": value})
    assert settings.consistency is Consistency(value.lower())


def test_the_copies_are_a_quorum_unless_told_and_nothing_else_is_taken() -> None:
    assert WeaviateSettings.from_environ(LOCAL).consistency is Consistency.QUORUM
    with pytest.raises(ConfigError, match=r"WEAVIATE_CONSISTENCY: there is no 'qourum'.*quorum"):
        WeaviateSettings.from_environ(LOCAL | {"WEAVIATE_CONSISTENCY": "qourum"})


@pytest.mark.parametrize("quantization", ["none", "rq", "bq"])
def test_flat_goes_with_the_quantizers_that_a_server_takes(quantization: str) -> None:
    told = LOCAL | {"WEAVIATE_INDEX": "flat", "WEAVIATE_QUANTIZATION": quantization}
    assert WeaviateSettings.from_environ(told).quantization is Quantization(quantization)
