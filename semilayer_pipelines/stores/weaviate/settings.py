"""Where Weaviate is, who we are there, and how new collections are indexed: from the environment.

Nothing here connects. Secrets stand in the environment only; they are in no file, message or
`repr`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeVar

from semilayer_pipelines.errors import ConfigError, nearest
from semilayer_pipelines.http.address import http_address

__all__ = [
    "Address",
    "Consistency",
    "Credentials",
    "Distance",
    "IndexType",
    "Quantization",
    "WeaviateSettings",
]

_GRPC_PORT = 50051
_EMBEDDED = re.compile(r"embedded(:(?P<port>\d+))?")
_EMBEDDED_PORT, _EMBEDDED_GRPC_PORT = 8079, 50050
_CLOUD = (".weaviate.cloud", ".weaviate.network")
_PREFIX = re.compile(r"[A-Za-z][A-Za-z0-9]{0,30}")
_E = TypeVar("_E", bound=StrEnum)


class IndexType(StrEnum):
    """How vectors are searched; `dynamic` needs a server with asynchronous indexing."""

    HNSW = "hnsw"
    FLAT = "flat"
    DYNAMIC = "dynamic"


class Distance(StrEnum):
    """How vectors are compared; the last two presume vectors of length 1."""

    COSINE = "cosine"
    DOT = "dot"
    L2_SQUARED = "l2-squared"


class Quantization(StrEnum):
    """How vectors are compressed in memory; what is on cannot be switched off for a collection."""

    NONE = "none"
    RQ = "rq"
    BQ = "bq"
    SQ = "sq"
    PQ = "pq"


class Consistency(StrEnum):
    """How many copies of a collection must answer a read and acknowledge a write."""

    ONE = "one"
    QUORUM = "quorum"
    ALL = "all"


_WITHOUT_FLAT = (Quantization.SQ, Quantization.PQ)
"""What a server refuses for a flat index (422), when the first collection is made."""


@dataclass(frozen=True)
class Address:
    """A host and a port, with or without TLS."""

    host: str
    port: int
    secure: bool


@dataclass(frozen=True)
class Credentials:
    """At most one of an API key, an OIDC token and an OIDC client's secret."""

    api_key: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    refresh_token: str | None = field(default=None, repr=False)
    client_secret: str | None = field(default=None, repr=False)
    scope: str | None = None


@dataclass(frozen=True)
class WeaviateSettings:
    """Everything that the connection and new collections need. Times are seconds.

    With `embedded` the server is started by the first process that asks for it. `prefix` keeps
    projects that share a server apart.
    """

    http: Address
    grpc: Address
    embedded: bool = False
    credentials: Credentials = Credentials()
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    query_timeout: float = 30.0
    insert_timeout: float = 90.0
    trust_env: bool = False
    ca_file: str | None = None
    prefix: str = ""
    index: IndexType = IndexType.HNSW
    distance: Distance = Distance.COSINE
    quantization: Quantization = Quantization.NONE
    replication: int | None = None
    consistency: Consistency = Consistency.QUORUM

    def __post_init__(self) -> None:
        """Refuse what cannot be: one port for both APIs, a quantizer that flat cannot have."""
        if (self.http.host, self.http.port) == (self.grpc.host, self.grpc.port):
            raise ConfigError(
                f"WEAVIATE_URL and WEAVIATE_GRPC_URL are the same address, {self.shown}.",
                cure="A server has one port for REST (8080) and one for gRPC (50051).",
            )
        if self.index is IndexType.FLAT and self.quantization in _WITHOUT_FLAT:
            raise ConfigError(
                f"WEAVIATE_QUANTIZATION={self.quantization} does not go with WEAVIATE_INDEX=flat: "
                "Weaviate refuses such a collection.",
                cure="Use none, rq or bq with flat, or WEAVIATE_INDEX=hnsw.",
            )

    @property
    def shown(self) -> str:
        """Where the server is, for messages; never a secret."""
        return f"{self.http.host}:{self.http.port}"

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> WeaviateSettings:
        """Read `WEAVIATE_*` and, with `WEAVIATE_TRUST_ENV`, `SSL_CERT_FILE`.

        Raises `ConfigError` for a missing address, and for a value that cannot be meant.
        """
        url = environ.get("WEAVIATE_URL", "").strip()
        if not url:
            raise ConfigError(
                "The store is Weaviate, but WEAVIATE_URL is not set.",
                cure="Set it, for example WEAVIATE_URL=http://localhost:8080.",
            )
        embedded = _EMBEDDED.fullmatch(url)
        http = (
            Address("127.0.0.1", int(embedded["port"] or _EMBEDDED_PORT), False)
            if embedded
            else _address("WEAVIATE_URL", url, 80)
        )
        grpc_port = _EMBEDDED_GRPC_PORT if embedded else _GRPC_PORT
        trust_env = _yes(environ, "WEAVIATE_TRUST_ENV")
        return cls(
            http=http,
            grpc=_grpc(environ.get("WEAVIATE_GRPC_URL"), http, grpc_port),
            embedded=embedded is not None,
            credentials=_credentials(environ),
            headers=_headers(environ.get("WEAVIATE_HEADERS", "")),
            query_timeout=_seconds(environ, "WEAVIATE_QUERY_TIMEOUT", 30.0),
            insert_timeout=_seconds(environ, "WEAVIATE_INSERT_TIMEOUT", 90.0),
            trust_env=trust_env,
            ca_file=environ.get("SSL_CERT_FILE") if trust_env else None,
            prefix=_prefix(environ.get("WEAVIATE_PREFIX", "")),
            index=_one_of(environ, "WEAVIATE_INDEX", IndexType.HNSW),
            distance=_one_of(environ, "WEAVIATE_DISTANCE", Distance.COSINE),
            quantization=_one_of(environ, "WEAVIATE_QUANTIZATION", Quantization.NONE),
            replication=_factor(environ.get("WEAVIATE_REPLICATION")),
            consistency=_one_of(environ, "WEAVIATE_CONSISTENCY", Consistency.QUORUM),
        )


def _address(name: str, url: str, plain_port: int) -> Address:
    parts = http_address(url)
    if parts is None or not parts.hostname:
        raise ConfigError(
            f"{name} is no http:// or https:// address.",
            cure=f"For example {name}=http://host:8080.",
        )
    if parts.username or parts.password:
        raise ConfigError(
            f"{name} holds a name or a password.", cure="Use WEAVIATE_API_KEY or WEAVIATE_TOKEN."
        )
    secure = parts.scheme == "https"
    return Address(parts.hostname, parts.port or (443 if secure else plain_port), secure)


def _grpc(url: str | None, http: Address, port: int) -> Address:
    """Return where gRPC is: told, or on a cloud cluster's own host, or on `port` beside REST."""
    if url:
        return _address("WEAVIATE_GRPC_URL", url, port)
    if http.host.endswith(_CLOUD):
        return Address(_cloud_grpc_host(http.host), 443, True)
    return Address(http.host, port, http.secure)


def _cloud_grpc_host(host: str) -> str:
    if host.endswith(".weaviate.network"):
        cluster, _, domain = host.partition(".")
        return f"{cluster}.grpc.{domain}"
    return f"grpc-{host}"


def _credentials(environ: Mapping[str, str]) -> Credentials:
    names = ("WEAVIATE_API_KEY", "WEAVIATE_TOKEN", "WEAVIATE_CLIENT_SECRET")
    given = [name for name in names if environ.get(name)]
    if len(given) > 1:
        raise ConfigError(f"{' and '.join(given)} are both set.", cure="Keep one of them.")
    return Credentials(
        api_key=environ.get("WEAVIATE_API_KEY") or None,
        token=environ.get("WEAVIATE_TOKEN") or None,
        refresh_token=environ.get("WEAVIATE_REFRESH_TOKEN") or None,
        client_secret=environ.get("WEAVIATE_CLIENT_SECRET") or None,
        scope=environ.get("WEAVIATE_SCOPE") or None,
    )


def _headers(text: str) -> tuple[tuple[str, str], ...]:
    pairs = [item.partition("=") for item in text.split(",") if item.strip()]
    if not all(equals and name.strip() for name, equals, _ in pairs):
        raise ConfigError(
            "WEAVIATE_HEADERS cannot be read.",
            cure="Write it as Name=value, several with commas between them.",
        )
    return tuple((name.strip(), value.strip()) for name, _, value in pairs)


def _seconds(environ: Mapping[str, str], name: str, default: float) -> float:
    try:
        seconds = float(environ.get(name, default))
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= 3600:
        raise ConfigError(f"{name} must be a number of seconds from 0 to 3600.")
    return seconds


def _yes(environ: Mapping[str, str], name: str) -> bool:
    value = environ.get(name, "false").strip().lower()
    if value not in ("true", "false", "1", "0"):
        raise ConfigError(f"{name} must be true or false.")
    return value in ("true", "1")


def _prefix(text: str) -> str:
    if text and not _PREFIX.fullmatch(text):
        raise ConfigError("WEAVIATE_PREFIX must be letters and digits, starting with a letter.")
    return text


def _one_of(environ: Mapping[str, str], name: str, default: _E) -> _E:
    kind = type(default)
    value = environ.get(name, default.value).strip().lower()
    if value not in list(kind):
        known = [str(item) for item in kind]
        raise ConfigError(
            f"{name}: there is no {value!r}{nearest(value, known)}.",
            cure=f"Use one of {', '.join(known)}.",
        )
    return kind(value)


def _factor(text: str | None) -> int | None:
    if text is None:
        return None
    if not text.isdecimal() or not 1 <= int(text) <= 100:
        raise ConfigError("WEAVIATE_REPLICATION must be a number of copies, 1 or more.")
    return int(text)
