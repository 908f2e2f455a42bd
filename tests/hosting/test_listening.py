"""Where the server listens, and where it must not without a key."""

import socket
from contextlib import closing

import pytest

from core.addresses import is_loopback, is_own_name
from core.errors import ConfigurationError
from hosting.listening import check_closed, listen, url_of
from tests.engines import settings_for


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "localhost", "::1", "0x7f.1"])
def test_this_machine_alone_may_come_without_a_key(host: str) -> None:
    settings = settings_for("llama_cpp", JARVIS_HOST=host, JARVIS_PORT="0")
    with closing(listen(settings)) as listener:
        assert is_loopback(listener.getsockname()[0])
        assert listener.proto == socket.IPPROTO_TCP


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "0", "::ffff:0.0.0.0"])
def test_other_machines_may_not_come_without_a_key(host: str) -> None:
    settings = settings_for("llama_cpp", JARVIS_HOST=host, JARVIS_PORT="0")
    with pytest.raises(ConfigurationError) as refused:
        listen(settings)
    for way_out in ("JARVIS_API_KEYS", "JARVIS_HOST=127.0.0.1", "JARVIS_ALLOW_OPEN=true"):
        assert way_out in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("flag", [{"JARVIS_API_KEYS": "k"}, {"JARVIS_ALLOW_OPEN": "true"}])
def test_with_a_key_or_on_purpose_they_may(flag: dict[str, str]) -> None:
    settings = settings_for("llama_cpp", JARVIS_HOST="0.0.0.0", JARVIS_PORT="0", **flag)
    with closing(listen(settings)) as listener:
        assert url_of(settings, listener) == f"http://0.0.0.0:{listener.getsockname()[1]}"


def test_each_address_of_a_name_is_looked_at() -> None:
    settings = settings_for("llama_cpp", JARVIS_HOST="somewhere")
    check_closed(settings, ["127.0.0.1", "::1"])
    with pytest.raises(ConfigurationError, match=r"somewhere \(192.0.2.1\)"):
        check_closed(settings, ["127.0.0.1", "192.0.2.1"])


def test_a_taken_port_is_said_so() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        with pytest.raises(ConfigurationError, match=f"port {port}: Address already in use"):
            listen(settings_for("llama_cpp", JARVIS_PORT=port))


def test_the_url_says_https_and_brackets_addresses() -> None:
    flags = {"JARVIS_HOST": "::1", "JARVIS_PORT": "0", "JARVIS_TLS_CERT_FILE": "cert.pem"}
    settings = settings_for("llama_cpp", **flags)
    with closing(listen(settings)) as listener:
        assert url_of(settings, listener) == f"https://[::1]:{listener.getsockname()[1]}"


@pytest.mark.parametrize("address", ["::ffff:127.0.0.1", "::1", "127.255.255.254"])
def test_loopback_has_many_spellings(address: str) -> None:
    assert is_loopback(address)


@pytest.mark.parametrize(
    "name", ["localhost.evil.example", "127.0.0.1.evil.example", "0.0.0.0", "10.0.0.1", ""]
)
def test_names_that_only_look_like_this_machine_are_not_its_own(name: str) -> None:
    assert not is_own_name(name)
