"""Owns what a request to one server is made of: its address, its headers, its body.

Knows neither connections nor answers. Keys leave their SecretStr here alone, and go to the host
that they were given for: no other is ever addressed.
"""

import re
from collections.abc import Mapping
from typing import Any

import httpcore2
import httpx2
import msgspec
from pydantic import SecretStr

from backends.upstream import UpstreamCall
from core.errors import ConfigurationError, InvalidValue
from core.upstreams import Upstream

_VERSION_SEGMENT = re.compile(r"/v\d+$")
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"[\x21-\x7e\x80-\xff]+(?:[ \t]+[\x21-\x7e\x80-\xff]+)*")
# Those that say how a message is framed or encoded: they are set from what is sent.
_FRAMING = {"accept-encoding", "connection", "content-length", "te", "trailer"}
_FRAMING |= {"transfer-encoding", "upgrade", "keep-alive", "expect", "content-encoding"}

Headers = list[tuple[bytes, bytes]]


class Address:
    """One base URL. `shown` is what may be told of it."""

    def __init__(self, base_url: str) -> None:
        """Raises ConfigurationError, with nothing of the URL in its message."""
        try:
            url = httpx2.URL(base_url)
        except httpx2.InvalidURL:
            raise ConfigurationError("a base URL of an upstream is no URL") from None
        if url.scheme not in ("http", "https") or not url.host or url.userinfo or url.query:
            raise ConfigurationError(
                "a base URL of an upstream is http:// or https:// with a host,"
                " without user, password and query"
            )
        self._url = url
        self._base = url.raw_path.decode("ascii").rstrip("/")
        self._root = _VERSION_SEGMENT.sub("", self._base)
        self.host = url.netloc
        self.is_encrypted = url.scheme == "https"
        self.shown = f"{url.scheme}://{url.netloc.decode('ascii')}{self._base}"

    def url_of(self, path: str) -> httpcore2.URL:
        """`path` stands behind the base URL. One with a slash before it stands behind the server's
        root, which is the base URL without a version at its end.
        """
        target = self._root + path if path.startswith("/") else f"{self._base}/{path}"
        return httpcore2.URL(
            scheme=self._url.raw_scheme,
            host=self._url.raw_host,
            port=self._url.port,
            target=target.encode("ascii"),
        )


class RequestHeaders:
    """The headers of every request to one server."""

    def __init__(self, upstream: Upstream, host: bytes) -> None:
        """Raises ConfigurationError for what can't be a header, without its value."""
        self._passes_client_key = upstream.passes_client_key
        self._fixed: dict[bytes, bytes] = {
            b"host": host,
            b"accept": b"application/json, text/event-stream",
            # What is not compressed can't grow: a few bytes of gzip may hold gigabytes.
            b"accept-encoding": b"identity",
            b"user-agent": b"jarvis-llm-proxy",
        }
        if upstream.api_key is not None:
            self._fixed[b"authorization"] = _bearer(upstream.api_key, f"upstream {upstream.name}")
        for name, secret in upstream.extra_headers.items():
            self._fixed[name.lower().encode("ascii", "replace")] = _value(
                name, secret, upstream.name
            )

    def of(self, client_key: SecretStr | None, body: bytes | None) -> Headers:
        """Raises InvalidValue for a client's key that can't be sent. `body` is JSON."""
        headers = dict(self._fixed)
        if self._passes_client_key and client_key is not None:
            try:
                headers[b"authorization"] = _bearer(client_key, "the request")
            except ConfigurationError as error:
                raise InvalidValue(str(error)) from None
        if body is not None:
            headers[b"content-type"] = b"application/json"
            headers[b"content-length"] = b"%d" % len(body)
        return list(headers.items())


def _bearer(key: SecretStr, whose: str) -> bytes:
    text = key.get_secret_value()
    if not _HEADER_VALUE.fullmatch(text):
        raise ConfigurationError(f"the key of {whose} holds characters that no header can have")
    return b"Bearer " + text.encode("latin-1")


def _value(name: str, secret: SecretStr, upstream: str) -> bytes:
    text = secret.get_secret_value()
    if not _HEADER_NAME.fullmatch(name) or (text and not _HEADER_VALUE.fullmatch(text)):
        raise ConfigurationError(f"upstream {upstream}: {name!r} or its value can't be a header")
    if name.lower() in _FRAMING:
        raise ConfigurationError(f"upstream {upstream}: {name!r} is no header that can be set")
    return text.encode("latin-1")


def body_of(call: UpstreamCall, model: str) -> bytes:
    """The client's fields byte for byte, with the server's name of the model where the client's
    stood, or before all others.
    """
    fields: Mapping[str, Any] = call.fields
    if "model" in fields:
        return msgspec.json.encode({**fields, "model": model})
    return msgspec.json.encode({"model": model, **fields})
