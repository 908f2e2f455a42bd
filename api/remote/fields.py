"""Owns what is read of a body that goes on to another server: its model, whether it is a stream.

All else stays as the client wrote it, byte for byte.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from api.json_shape import check_shape
from api.request_bounds import check_raw_bounds
from api.schemas.validation import shown
from core.bounds import RequestBounds
from core.errors import InvalidValue, UnsupportedField

RawFields = Mapping[str, msgspec.Raw]

# By these, gateways are told to send a request elsewhere, or with another key.
_REFUSED = frozenset(
    {
        *("api_base", "api_key", "api_type", "api_version", "base_url", "custom_llm_provider"),
        *(
            "extra_body",
            "extra_headers",
            "extra_query",
            "fallbacks",
            "organization",
            "proxy_server",
        ),
    }
)
_decode = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
# Below so many bytes, the work costs less than a hand-over to a thread.
_INLINE_BYTES = 64 * 1024
_MAX_SCALAR_BYTES = 4096


@dataclass(frozen=True, slots=True)
class PassedBody:
    """A JSON object as it came, and its fields."""

    text: bytes
    fields: RawFields

    def with_model(self, name: str | None) -> bytes:
        """The body with another name in it, or none."""
        if name == model_of(self.fields):
            return self.text
        return with_model(self.fields, name)


async def passed_body(text: bytes, bounds: RequestBounds) -> PassedBody:
    """A large one is read in a thread: the event loop goes on. Raises InvalidValue."""
    if len(text) < _INLINE_BYTES:
        return _passed_body(text, bounds)
    return await asyncio.to_thread(_passed_body, text, bounds)


def _passed_body(text: bytes, bounds: RequestBounds) -> PassedBody:
    fields = raw_fields(text)
    check_raw_bounds(fields, bounds, len(text))
    return PassedBody(text, fields)


def raw_fields(body: bytes) -> RawFields:
    """The fields of a JSON object. Raises InvalidValue, as for a body that is answered here."""
    check_shape(body)
    try:
        body.decode()
        return _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        reason = "it nests too deep" if isinstance(error, RecursionError) else str(error)
        raise InvalidValue(f"the body is not a JSON object: {reason[:200]}") from None


def model_of(fields: RawFields) -> str | None:
    """Raises InvalidValue."""
    name = _value(fields, "model")
    if name is not None and not isinstance(name, str):
        raise InvalidValue(f"model is {shown(name)}; allowed is a string", param="model")
    return name


def is_stream(fields: RawFields) -> bool:
    """Raises InvalidValue."""
    wanted = _value(fields, "stream")
    if wanted is not None and not isinstance(wanted, bool):
        raise InvalidValue(f"stream is {shown(wanted)}; allowed is true or false", param="stream")
    return bool(wanted)


def check_sendable(fields: RawFields) -> None:
    """Raises UnsupportedField for what might lead a server to send the request elsewhere."""
    for name in fields:
        if name in _REFUSED:
            raise UnsupportedField(
                f"{name} is not supported: where requests go is the operator's choice", param=name
            )


def with_model(fields: RawFields, name: str | None) -> bytes:
    """The body with another name in it."""
    named = dict(fields)
    if name is None:
        named.pop("model", None)
    else:
        named["model"] = msgspec.Raw(msgspec.json.encode(name))
    return msgspec.json.encode(named)


def _value(fields: RawFields, name: str) -> object:
    raw = fields.get(name)
    return None if raw is None else scalar(name, raw)


def scalar(name: str, raw: msgspec.Raw) -> object:
    """What is written in few bytes. Raises InvalidValue for more, which takes time to read."""
    if memoryview(raw).nbytes > _MAX_SCALAR_BYTES:
        raise InvalidValue(f"{name} is longer than it can be", param=name)
    return msgspec.json.decode(raw)
