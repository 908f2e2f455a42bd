"""Owns whether traces are wanted, which OpenTelemetry's own variables say. Loads nothing of it."""

from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from core.addresses import is_own_name
from core.errors import ConfigurationError

if TYPE_CHECKING:
    from api.tracing.spans import Spans

_TRACES_ENDPOINT = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
_ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
_TRACES_PROTOCOL = "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"
_PROTOCOL = "OTEL_EXPORTER_OTLP_PROTOCOL"
_SPOKEN = "http/protobuf"


def open_spans(environ: Mapping[str, str], version: str, *, is_offline: bool) -> "Spans | None":
    """None where nobody wants them. `environ` is to be the process's own, which OpenTelemetry reads
    too. Raises ConfigurationError.
    """
    endpoint = environ.get(_TRACES_ENDPOINT) or environ.get(_ENDPOINT)
    if not endpoint or _is_switched_off(environ):
        return None
    if is_offline and not is_own_name(urlsplit(endpoint).hostname or ""):
        raise ConfigurationError(
            f"JARVIS_OFFLINE=true lets no traces leave this machine, and {_ENDPOINT} names another"
        )
    protocol = environ.get(_TRACES_PROTOCOL) or environ.get(_PROTOCOL) or _SPOKEN
    if protocol != _SPOKEN:
        raise ConfigurationError(f"{_PROTOCOL}={protocol!r} is not spoken here; use {_SPOKEN}")
    # Here and not at the top: few want what takes time and memory to load.
    from api.tracing.spans import Spans

    try:
        return Spans(version)
    except ValueError as error:
        raise ConfigurationError(f"OpenTelemetry's variables: {error}") from error


def _is_switched_off(environ: Mapping[str, str]) -> bool:
    return (
        environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
        or environ.get("OTEL_TRACES_EXPORTER") == "none"
    )
