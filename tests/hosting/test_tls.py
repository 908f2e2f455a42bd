"""https by certificate files: what is refused at the start, and how it is served."""

import logging
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx2
import openai
import pytest
from cryptography.hazmat.primitives import serialization

from core.errors import ConfigurationError
from hosting.tls import tls_context
from tests.hosting.certificate import Files, with_files
from tests.hosting.hosted import Probe, hosted


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def test_without_files_there_is_no_tls() -> None:
    assert tls_context(with_files(None, None)) is None


def test_requests_come_over_https(files: Files) -> None:
    probe = Probe(b'{"object": "list", "data": []}')
    with hosted(probe, tls_context(files.settings)) as server:
        url = f"https://localhost:{server.port}/v1"
        with httpx2.Client(verify=files.trust()) as http:
            client = openai.OpenAI(base_url=url, api_key="k", http_client=http, max_retries=0)
            assert client.models.list().data == []
    assert probe.scopes[0]["scheme"] == "https"


def test_what_is_older_than_tls_1_2_is_refused_and_http_1_1_agreed_on(files: Files) -> None:
    context = tls_context(files.settings)
    assert context is not None
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    trust = files.trust()
    trust.set_alpn_protocols(["h2", "http/1.1"])
    with (
        hosted(Probe(), context) as server,
        trust.wrap_socket(server.connect(), server_hostname="localhost") as client,
    ):
        assert client.selected_alpn_protocol() == "http/1.1"
        assert client.version() == "TLSv1.3"


def test_http_without_encryption_reaches_no_application(files: Files) -> None:
    probe = Probe()
    with hosted(probe, tls_context(files.settings)) as server:
        assert b"HTTP/1.1 2" not in server.ask(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert not probe.scopes


def test_a_slow_head_over_https_is_answered_with_408(files: Files) -> None:
    with (
        hosted(Probe(), tls_context(files.settings), header_timeout_s=0.05) as server,
        files.trust().wrap_socket(server.connect(), server_hostname="localhost") as client,
    ):
        assert client.recv(4096).startswith(b"HTTP/1.1 408 ")


def test_half_a_pair_is_refused(files: Files) -> None:
    with pytest.raises(ConfigurationError, match="JARVIS_TLS_KEY_FILE is not"):
        tls_context(with_files(files.cert, None))
    with pytest.raises(ConfigurationError, match="JARVIS_TLS_CERT_FILE is not"):
        tls_context(with_files(None, files.key))


def test_files_that_are_not_there_are_named(files: Files, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"none\.pem can't be read: No such file"):
        tls_context(with_files(tmp_path / "none.pem", files.key))
    with pytest.raises(ConfigurationError, match=r"KEY_FILE=.*can't be read: Is a directory"):
        tls_context(with_files(files.cert, tmp_path))


def test_the_key_of_another_certificate_is_refused(files: Files, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    with pytest.raises(ConfigurationError, match="is not the key of"):
        tls_context(with_files(files.cert, Files(other).key))


def test_what_is_no_certificate_is_refused(files: Files, tmp_path: Path) -> None:
    text = tmp_path / "text.pem"
    text.write_text("hello")
    for pair in ((text, files.key), (files.cert, text), (files.key, files.cert)):
        with pytest.raises(ConfigurationError, match="are not a certificate and its key"):
            tls_context(with_files(*pair))


def test_an_encrypted_key_is_refused_and_asks_for_nothing(files: Files) -> None:
    key = serialization.load_pem_private_key(files.key.read_bytes(), None)
    encrypted = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"password"),
    )
    files.key.write_bytes(encrypted)
    with pytest.raises(ConfigurationError, match="is encrypted"):
        tls_context(files.settings)


def test_an_expired_certificate_is_told_of_and_served(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    files = Files(tmp_path, datetime.now(UTC) - timedelta(days=1))
    with caplog.at_level(logging.WARNING):
        assert tls_context(files.settings) is not None
    assert "expired" in caplog.text
