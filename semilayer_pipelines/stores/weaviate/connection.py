"""One connection a process and server: opened late, kept, and with no retries but ours.

The client would try a search again for 63 s and a write for 15, both only for UNAVAILABLE, and lose
the status of everything else. So its gRPC stub is wrapped: what fails leaves it as an `Answer`,
past the client's retries. The client's checks at start-up are skipped, because one of them phones
home.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import grpc
import weaviate
from weaviate.auth import AuthCredentials
from weaviate.classes.init import AdditionalConfig, Auth, Timeout
from weaviate.config import GrpcConfig
from weaviate.embedded import EmbeddedOptions

from semilayer_pipelines.errors import ConfigError, NotFound, StoreRefused, StoreUnavailable
from semilayer_pipelines.stores.patience import trying
from semilayer_pipelines.stores.weaviate.errors import (
    STARTING,
    Answer,
    NoTenant,
    gone,
    says_gone,
    store_errors,
)
from semilayer_pipelines.stores.weaviate.settings import Address, Credentials, WeaviateSettings

__all__ = ["WAITS_S", "T", "ask_index", "ask_once", "connected", "persistently"]

T = TypeVar("T")

WAITS_S = (0.2, 0.6, 1.8)
"""Waits before the second, third and fourth attempt; the engine retries on top of that."""

_PATIENCE_S = 20.0
_EMBEDDED_VERSION = "1.39.0"
# With aliases, which carry a lens's public name.
_OLDEST = (1, 32)
# gRPC's own default would leave a server that is back unnoticed for two minutes.
_CHANNEL = [("grpc.max_reconnect_backoff_ms", 2_000), ("grpc.initial_reconnect_backoff_ms", 100)]

# It logs every object that failed, properties and vector: the contents of people's rows.
logging.getLogger("weaviate-client").setLevel(logging.CRITICAL)

_clients: dict[WeaviateSettings, weaviate.WeaviateClient] = {}
_opening = threading.Lock()


def connected(settings: WeaviateSettings, folder: Path) -> weaviate.WeaviateClient:
    """Return this process's client for a server, connected at the first call.

    `folder` is where an embedded server keeps its files. Raises `StoreUnavailable` and
    `StoreRefused` (wrong key, server too old).
    """
    with _opening:
        if settings not in _clients:
            with store_errors(f"Weaviate at {settings.shown}: connecting"):
                client = _connect(settings, folder)
            _without_own_retries(client)
            _refuse_old(client, settings)
            # Before the interpreter ends: the client warns on stderr about what is left open.
            atexit.register(client.close)
            _clients[settings] = client
        return _clients[settings]


def persistently(doing: str, action: Callable[[], T]) -> T:
    """Run `action`, again while it raises `StoreUnavailable`, some seconds at most in all.

    A patient caller (`stores.patience`) waits longer for a server that went away. `action` must be
    safe to repeat. Raises what `store_errors` makes of the client's errors. What took its whole
    time is not tried again here: the caller waits long enough.
    """

    def attempt() -> T:
        with store_errors(doing):
            return action()

    return trying(attempt, (StoreUnavailable,), WAITS_S, limit_s=_PATIENCE_S)


def ask_index(name: str, action: Callable[[], T]) -> T:
    """Run `action` persistently on behalf of an index.

    Raises `NotFound` when it was dropped, `NoTenant` when it does not have the tenant asked for.
    """
    try:
        return persistently(f"index {name}", action)
    except NoTenant:
        raise
    except NotFound:
        raise gone(name) from None


def ask_once(name: str, action: Callable[[], T]) -> T:
    """Run `action` on behalf of an index, and not again: it is not safe to repeat.

    Raises what `ask_index` raises.
    """
    try:
        with store_errors(f"index {name}"):
            return action()
    except NoTenant:
        raise
    except NotFound:
        raise gone(name) from None


def _connect(settings: WeaviateSettings, folder: Path) -> weaviate.WeaviateClient:
    config = AdditionalConfig(
        timeout=Timeout(query=settings.query_timeout, insert=settings.insert_timeout, init=10),
        trust_env=settings.trust_env,
        grpc_config=GrpcConfig(channel_options=_CHANNEL, credentials=_roots(settings)),
    )
    if settings.embedded and not _listening(settings.http):
        return _started(settings, folder, config)
    return weaviate.connect_to_custom(
        http_host=settings.http.host,
        http_port=settings.http.port,
        http_secure=settings.http.secure,
        grpc_host=settings.grpc.host,
        grpc_port=settings.grpc.port,
        grpc_secure=settings.grpc.secure,
        headers=_headers(settings),
        additional_config=config,
        auth_credentials=_credentials(settings.credentials),
        skip_init_checks=True,
    )


def _started(
    settings: WeaviateSettings, folder: Path, config: AdditionalConfig
) -> weaviate.WeaviateClient:
    """Start a server that lives as long as this process; its program is downloaded once.

    What `connect_to_embedded` does, but for the checks, which cannot be skipped there, and the
    version, which there is too old for aliases.
    """
    options = EmbeddedOptions(
        version=_EMBEDDED_VERSION,
        persistence_data_path=str(folder / "data"),
        binary_path=str(folder / "bin"),
        hostname=settings.http.host,
        port=settings.http.port,
        grpc_port=settings.grpc.port,
        additional_env_vars={
            "AUTOSCHEMA_ENABLED": "false",
            "DISABLE_TELEMETRY": "true",
            "ENABLE_MODULES": "",
        },
    )
    client = weaviate.WeaviateClient(
        embedded_options=options, additional_config=config, skip_init_checks=True
    )
    try:
        client.connect()
    except BaseException:
        client.close()
        raise
    return client


def _listening(address: Address) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((address.host, address.port), 1):
        return True
    return False


def _headers(settings: WeaviateSettings) -> dict[str, str]:
    headers, given = dict(settings.headers), settings.credentials
    if given.token and not given.refresh_token:
        # The client would call it expired after a minute, whatever it says itself.
        headers["authorization"] = f"Bearer {given.token}"
    return headers


def _credentials(given: Credentials) -> AuthCredentials | None:
    if given.api_key:
        return Auth.api_key(given.api_key)
    if given.token and given.refresh_token:
        return Auth.bearer_token(given.token, refresh_token=given.refresh_token)
    if given.client_secret:
        return Auth.client_credentials(given.client_secret, scope=given.scope)
    return None


def _roots(settings: WeaviateSettings) -> Any:
    """Return the authorities of `SSL_CERT_FILE` for gRPC, which does not know that variable."""
    if settings.ca_file is None:
        return None
    try:
        roots = Path(settings.ca_file).read_bytes()
    except OSError as error:
        raise ConfigError(f"SSL_CERT_FILE cannot be read: {error.strerror}.") from None
    made: Callable[[bytes], Any] = grpc.ssl_channel_credentials
    return made(roots)


def _refuse_old(client: weaviate.WeaviateClient, settings: WeaviateSettings) -> None:
    version = client._connection.server_version
    if tuple(int(part) for part in version.split(".")[:2]) < _OLDEST:
        client.close()
        raise StoreRefused(
            f"Weaviate at {settings.shown} is version {version}, which knows no aliases.",
            cure="Upgrade the server to 1.32 or newer.",
        )


def _without_own_retries(client: weaviate.WeaviateClient) -> None:
    # Private, and held by a test: weaviate-client is pinned to one minor version.
    connection = client._connection
    connection._grpc_stub = cast(Any, _Stub(connection._grpc_stub, client.is_ready))


class _Stub:
    """A gRPC stub whose failures leave as `Answer`.

    A server that starts knows of no collection. Only what it says when `ready` is believed.
    """

    def __init__(self, inner: Any, ready: Callable[[], bool]) -> None:
        self._inner = inner
        self._ready = ready

    def __getattr__(self, name: str) -> Callable[..., Any]:
        call = getattr(self._inner, name)

        def once(*args: Any, **options: Any) -> Any:
            try:
                return call(*args, **options)
            except grpc.RpcError as error:
                failed: Any = error  # every one that a call raises is the call as well
                raise Answer(failed.code(), str(failed.details())) from error

        def answered(*args: Any, **options: Any) -> Any:
            try:
                return once(*args, **options)
            except Answer as answer:
                if not says_gone(answer.text):
                    raise
            if not self._ready():
                raise Answer(grpc.StatusCode.UNAVAILABLE, STARTING)
            return once(*args, **options)

        return answered
