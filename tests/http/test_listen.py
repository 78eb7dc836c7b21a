"""Addresses: taken, told as a URL, and refused with a sentence for people."""

from __future__ import annotations

import pytest

from semilayer_pipelines.errors import ConfigError
from semilayer_pipelines.http.listen import listen, url_of


def test_the_url_of_an_address_names_host_and_port() -> None:
    with listen("127.0.0.1", 0, "webhook") as address:
        assert url_of(address) == f"http://127.0.0.1:{address.getsockname()[1]}"


def test_a_host_of_ipv6_is_in_brackets() -> None:
    try:
        address = listen("::1", 0, "webhook")
    except ConfigError:
        pytest.skip("this machine has no IPv6")
    with address:
        assert url_of(address) == f"http://[::1]:{address.getsockname()[1]}"


@pytest.mark.parametrize("command", ["webhook", "embedder"])
def test_a_port_that_is_taken_is_named_with_another_for_the_same_command(command: str) -> None:
    with listen("127.0.0.1", 0, command) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError) as refused:
            listen("127.0.0.1", port, command)

    assert str(refused.value).startswith(f"Port {port} is taken.")
    assert refused.value.cure == f"Choose another: semilayer {command} --port {port + 1}"


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"Cannot listen on 192\.0\.2\.1, port 8000: "):
        listen("192.0.2.1", 8000, "webhook")
