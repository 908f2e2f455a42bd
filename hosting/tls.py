"""Owns what https needs: the certificate and its key, checked when the server starts."""

import logging
import ssl
import time
from pathlib import Path

from core.errors import ConfigurationError
from core.operation_settings import OperationSettings

logger = logging.getLogger(__name__)

_CERT, _KEY = "JARVIS_TLS_CERT_FILE", "JARVIS_TLS_KEY_FILE"


class _Encrypted(Exception):
    """The key asks for a password."""


def tls_context(settings: OperationSettings) -> ssl.SSLContext | None:
    """None where plain http is wanted. For `uvicorn.Config(ssl_context_factory=...)`.

    Raises ConfigurationError.
    """
    cert, key = settings.tls_cert_file, settings.tls_key_file
    if cert is None and key is None:
        return None
    if cert is None or key is None:
        given, missing = (_KEY, _CERT) if cert is None else (_CERT, _KEY)
        raise ConfigurationError(f"{given} is set and {missing} is not: https needs both")
    _check_readable(_CERT, cert)
    _check_readable(_KEY, key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    _load(context, cert, key)
    _warn_of_dates(cert)
    return context


def _check_readable(variable: str, path: Path) -> None:
    try:
        path.open("rb").close()
    except OSError as error:
        raise ConfigurationError(f"{variable}={path} can't be read: {error.strerror}") from error


def _load(context: ssl.SSLContext, cert: Path, key: Path) -> None:
    try:
        context.load_cert_chain(cert, key, _refuse_password)
    except _Encrypted:
        raise ConfigurationError(
            f"{_KEY}={key} is encrypted: write it without a password, readable by the server alone"
            f" (openssl pkey -in {key.name} -out plain.pem)"
        ) from None
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise ConfigurationError(f"{_KEY}={key} is not the key of {_CERT}={cert}") from error
        raise ConfigurationError(
            f"{_CERT}={cert} and {_KEY}={key} are not a certificate and its key as PEM files"
            f" ({error.reason or 'unreadable'})"
        ) from error


def _refuse_password() -> str:
    raise _Encrypted


def _warn_of_dates(cert: Path) -> None:
    # The only reader of certificates in the standard library, which has no public name.
    dates = ssl._ssl._test_decode_cert(str(cert))  # type: ignore[attr-defined]
    if ssl.cert_time_to_seconds(dates["notAfter"]) < time.time():
        logger.warning("certificate=%s expired=%r", cert, dates["notAfter"])
    elif ssl.cert_time_to_seconds(dates["notBefore"]) > time.time():
        logger.warning("certificate=%s valid_from=%r", cert, dates["notBefore"])
