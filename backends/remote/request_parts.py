"""Owns what a request to one server is made of: its address, its headers, its body.

Knows neither connections nor answers. Keys leave their SecretStr here alone, and go to the host
that they were given for: no other is ever addressed.
"""

import re
import uuid
from collections.abc import Mapping
from typing import Any

import httpcore2
import httpx2
import msgspec
from pydantic import SecretStr

from backends.remote.base_urls import base_url_of
from backends.remote.secrets import checked_secret, header_name
from backends.upstream import UpstreamCall
from core.errors import ConfigurationError, InvalidValue
from core.request_context import request_id, trace_headers
from core.upstreams import Upstream, UpstreamKind

_VERSION_SEGMENT = re.compile(r"/v\d+$")

Headers = list[tuple[bytes, bytes]]


class Address:
    """One base URL. `shown` is what may be told of it."""

    def __init__(self, base_url: str, kind: UpstreamKind) -> None:
        """Raises ConfigurationError, with nothing of the URL in its message."""
        try:
            url = httpx2.URL(base_url_of(base_url, kind))
        except ValueError as error:
            raise ConfigurationError(f"the base URL of an upstream: {error}") from None
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
        self._kind = upstream.kind
        self._passes_client_key = upstream.passes_client_key
        self._fixed: dict[bytes, bytes] = {
            b"host": host,
            b"accept": b"application/json, text/event-stream",
            # What is not compressed can't grow: a few bytes of gzip may hold gigabytes.
            b"accept-encoding": b"identity",
            b"user-agent": b"jarvis-llm-proxy",
        }
        try:
            self._fixed |= _given(upstream)
        except ValueError as error:
            raise ConfigurationError(f"upstream {upstream.name}: {error}") from None

    def of(self, client_key: SecretStr | None, body: bytes | None) -> Headers:
        """Raises InvalidValue for a client's key that can't be sent. `body` is JSON."""
        headers = dict(self._fixed)
        if self._passes_client_key and client_key is not None:
            try:
                headers[b"authorization"] = _bearer(client_key)
            except ValueError as error:
                raise InvalidValue(f"the key of the request can't be sent on: {error}") from None
        if body is not None:
            headers[b"content-type"] = b"application/json"
            headers[b"content-length"] = b"%d" % len(body)
            headers |= _of_request(self._kind)
        return list(headers.items())


def _of_request(kind: UpstreamKind) -> dict[bytes, bytes]:
    """By which the server's logs and traces can be put to those of the request that it works for.

    A client chooses its request's id, and may choose it twice. Ours only write it down, but vLLM
    knows its sequences by it, and gets it with an end that is new each time. Others may refuse what
    is no UUID, as llama-cpp-python's server does.
    """
    headers, own = dict(trace_headers.get()), request_id.get()
    if own is not None and kind is UpstreamKind.JARVIS:
        headers[b"x-request-id"] = own.encode("ascii")
    elif own is not None and kind is UpstreamKind.VLLM:
        headers[b"x-request-id"] = f"{own}-{uuid.uuid4().hex[:16]}".encode("ascii")
    return headers


def _given(upstream: Upstream) -> dict[bytes, bytes]:
    """What the operator gave. Raises ValueError."""
    headers: dict[bytes, bytes] = {}
    if upstream.api_key is not None:
        headers[b"authorization"] = _bearer(upstream.api_key)
    for name, secret in upstream.extra_headers.items():
        allowed = header_name(name, has_key=upstream.api_key is not None)
        headers[allowed.lower().encode("ascii")] = _value(secret)
    return headers


def _bearer(key: SecretStr) -> bytes:
    return b"Bearer " + _value(key)


def _value(secret: SecretStr) -> bytes:
    return checked_secret(secret.get_secret_value()).get_secret_value().encode("ascii")


def body_of(call: UpstreamCall, model: str, kind: UpstreamKind) -> bytes:
    """The client's fields byte for byte, with the server's name of the model where the client's
    stood, or before all others.
    """
    fields: Mapping[str, Any] = call.fields_of_kinds.get(kind, call.fields)
    if "model" in fields:
        return msgspec.json.encode({**fields, "model": model})
    return msgspec.json.encode({"model": model, **fields})
