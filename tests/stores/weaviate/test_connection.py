"""How a server is reached: away and back, keys, versions, TLS."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from semilayer_pipelines.errors import (
    StoreRefused,
    StoreUnavailable,
)
from semilayer_pipelines.stores import open_store
from semilayer_pipelines.stores.protocol import Index, Store
from tests.patience import PATIENCE_SECONDS
from tests.stores.objects import ONE_FIELD, objects
from tests.stores.weaviate.doubled import ENV, keys_of, opened, write
from tests.weaviate_double.server import Double, Tls


@pytest.fixture
def store(double: Double, tmp_path: Path) -> Store:
    return opened(double, tmp_path)


@pytest.fixture
def index(store: Store) -> Index:
    return store.create("lens-g1", ONE_FIELD)


def certificate(folder: Path) -> Tls:
    """Make a certificate for localhost, signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    tls = Tls(folder / "certificate.pem", folder / "key.pem")
    tls.certificate.write_bytes(made.public_bytes(Encoding.PEM))
    tls.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return tls


def test_connecting_asks_what_the_server_is_and_calls_nobody_else(
    double: Double, store: Store
) -> None:
    store.names()
    assert double.asked == ["/meta", "/schema"]


def test_a_server_that_is_away_is_reported_in_seconds_and_found_when_it_is_back(
    double: Double, index: Index
) -> None:
    write(index, objects(["a"]))
    double.stop_grpc()
    started = time.monotonic()
    with pytest.raises(StoreUnavailable, match="UNAVAILABLE"):
        index.count()
    with index.lock(), pytest.raises(StoreUnavailable, match="UNAVAILABLE"):
        index.upsert(objects(["b"]))
    # The client alone would take 63 s over the first and 15 s over the second.
    assert time.monotonic() - started < 50
    double.start_grpc()
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        try:
            assert index.count() == 1
            break
        except StoreUnavailable:
            continue
    assert write(index, objects(["b"])) == 1


def test_a_store_that_was_never_there_is_unavailable_and_its_address_told(tmp_path: Path) -> None:
    settings = {"WEAVIATE_URL": "http://127.0.0.1:9"}
    with pytest.raises(StoreUnavailable, match=r"127\.0\.0\.1:9"):
        open_store("weaviate", tmp_path, ENV, environ=settings).names()


def test_a_wrong_key_and_an_old_server_are_refused_with_what_to_do(tmp_path: Path) -> None:
    with Double.serving(api_key="right-key") as double:
        with pytest.raises(StoreRefused, match="WEAVIATE_API_KEY") as refused:
            opened(double, tmp_path, WEAVIATE_API_KEY="wrong-key").names()
        assert "wrong-key" not in str(refused.value)
        for name in ("WEAVIATE_API_KEY", "WEAVIATE_TOKEN"):
            store = opened(double, tmp_path, None, **{name: "right-key"})
            assert store.create("lens-g1", ONE_FIELD).count() == 0
    with (
        Double.serving(version="1.31.0") as old,
        pytest.raises(StoreRefused, match=r"1\.31\.0.*1\.32"),
    ):
        opened(old, tmp_path).names()


def test_tls_is_spoken_on_both_ports_and_strangers_are_not_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tls = certificate(tmp_path)
    with Double.serving(tls=tls) as double:
        with pytest.raises(StoreUnavailable, match=r"(?i)certificate"):
            opened(double, tmp_path).names()
        monkeypatch.setenv("SSL_CERT_FILE", str(tls.certificate))
        store = opened(
            double, tmp_path, WEAVIATE_TRUST_ENV="true", SSL_CERT_FILE=str(tls.certificate)
        )
        index = store.create("lens-g1", ONE_FIELD)
        assert write(index, objects(["a"])) == 1
        assert keys_of(index) == ["a"]
