"""The one error tree. A name is a condition; a message says what was wrong, the value, the remedy.

Errors carry no HTTP status: `api/errors.py` holds the table. Library exceptions are mapped to
these at the border where the library is called.
"""

from dataclasses import dataclass
from enum import Enum, auto


class JarvisError(Exception):
    """The root of everything this project raises on purpose."""


class ConfigurationError(JarvisError):
    """A setting, a file or the machine does not allow a start. The message is one line."""


class ModelLoadError(JarvisError):
    """The chosen model can't be loaded by the chosen engine. The message is one line."""


class ModelNotFoundOnHub(ModelLoadError):
    """The hub can't be reached, or has no such repository or file, or wants a token."""


class RequestError(JarvisError):
    """A request that can't be served as it was sent. `param`: the field at fault, if one is."""

    def __init__(self, message: str, *, param: str | None = None) -> None:
        super().__init__(message)
        self.param = param


class InvalidValue(RequestError):
    """A field's type or value is outside what is allowed."""


class UnsupportedField(RequestError):
    """A field that is not honoured, refused rather than ignored."""


class InvalidConversation(RequestError):
    """Messages that the chat format can't express (unknown role, none at all, wrong order)."""


class ModelNotServed(RequestError):
    """The request names a model that is not served here."""


class ResponseNotFound(RequestError):
    """No response is kept under this id: there was none, or no longer."""


class PreviousResponseNotFound(ResponseNotFound):
    """The response that a request goes on with is not kept."""


class ContextLengthExceeded(RequestError):
    """Prompt and answer do not fit in the context window."""


class RequestTooLarge(RequestError):
    """The body exceeds the size limit; it was not read to its end."""


class UnsupportedMediaType(RequestError):
    """The body is not declared as JSON."""


class KeyRequired(RequestError):
    """The request carries no key that is known here."""


class NotAllowed(RequestError):
    """The key is known, and does not allow this."""


class HostRefused(RequestError):
    """The request's Host header is none of this server's names."""


class TooManyRequests(JarvisError):
    """More was asked than is allowed or can be queued. `retry_after_s`: when it may be allowed."""

    def __init__(self, message: str, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class QueueFull(TooManyRequests):
    """As many requests wait as may, or they hold as many tokens as they may."""


class LimitReached(TooManyRequests):
    """The key's own limit is used up for now."""


class DeadlineExceeded(JarvisError):
    """The request's time was over before its answer was whole."""


class EngineUnavailable(JarvisError):
    """No engine is ready to take a request: it is loading, draining, or has failed."""


class ServerStopping(EngineUnavailable):
    """The server stops: it takes no new requests, and ends those that take too long."""


class EngineFailed(JarvisError):
    """The engine failed while it worked on an accepted request."""


class ResponseStoreFailed(JarvisError):
    """The file in which responses are kept can't be read or written."""


class UpstreamFault(Enum):
    """CONNECTION: it can't be reached, or the connection broke. TIMEOUT: it took too long. STATUS:
    it answered 429, 408, 3xx or 5xx. BROKEN: its answer is not what it should be. UNAVAILABLE: it
    failed so often of late that it was not asked, wants no requests now, or this process closes.
    """

    CONNECTION = auto()
    TIMEOUT = auto()
    STATUS = auto()
    BROKEN = auto()
    UNAVAILABLE = auto()


@dataclass(frozen=True, slots=True)
class UpstreamFailure:
    """The facts of an UpstreamFailed: no URL and no key among them.

    `status`, `media_type` and `body` are what it sent, where it sent a whole answer;
    `retry_after_s` is what it asked for, or for how long nothing will be sent to it.
    """

    upstream: str
    fault: UpstreamFault
    status: int | None = None
    media_type: str = ""
    body: bytes = b""
    retry_after_s: float | None = None


class UpstreamFailed(JarvisError):
    """Another server that was to answer did not. Yet another one may."""

    def __init__(self, message: str, failure: UpstreamFailure) -> None:
        super().__init__(message)
        self.failure = failure


class UpstreamRefused(RequestError):
    """Another server that was to answer can't serve the request as it was sent, and said why.

    `body` is what it sent, with its media type.
    """

    def __init__(
        self, message: str, upstream: str, status: int, media_type: str, body: bytes
    ) -> None:
        super().__init__(message)
        self.upstream = upstream
        self.status = status
        self.media_type = media_type
        self.body = body
