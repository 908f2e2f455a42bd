"""Owns how a server's URL may be written, and what is made of it. Connects to nothing."""

from urllib.parse import SplitResult, urlsplit

import httpx2

from core.upstreams import UpstreamKind

# Their API stands behind /v1, and people tend to give the server's address alone.
_BEHIND_V1 = (UpstreamKind.VLLM, UpstreamKind.LLAMA_CPP, UpstreamKind.JARVIS)
_KNOWN = {
    UpstreamKind.OPENROUTER: "https://openrouter.ai/api/v1",
    UpstreamKind.OPENAI: "https://api.openai.com/v1",
}
_LONGEST = 2048
_SUCH_AS = "such as http://gpu-box:8000/v1"


def usual_base_url(kind: UpstreamKind) -> str | None:
    """Where servers of a kind are, if there is one place that all of them share."""
    return _KNOWN.get(kind)


def base_url_of(text: str, kind: UpstreamKind) -> str:
    """The URL that paths are put behind, without a slash at its end.

    Raises ValueError, with a message that holds nothing of `text`: there may be a password in it.
    """
    if len(text) > _LONGEST or not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError("allowed: a URL of printable ASCII characters, without spaces")
    try:
        parts = urlsplit(text)
        has_port = parts.port != 0
        url = httpx2.URL(text)
    except (ValueError, httpx2.InvalidURL):
        raise ValueError(f"this is no URL; allowed: {_SUCH_AS}") from None
    _check(text, parts)
    if not has_port:
        raise ValueError("port 0 is none that can be connected to")
    path = parts.path.rstrip("/")
    if not path and kind in _BEHIND_V1:
        path = "/v1"
    return f"{parts.scheme}://{url.netloc.decode('ascii')}{path}"


def _check(text: str, parts: SplitResult) -> None:
    if parts.scheme not in ("http", "https"):
        raise ValueError(f"a URL begins with http:// or https://, {_SUCH_AS}")
    if "@" in parts.netloc:
        raise ValueError("no user and password in a URL: give api_key_env or extra_headers")
    if not parts.hostname:
        raise ValueError(f"the URL names no host; allowed: {_SUCH_AS}")
    try:
        parts.hostname.encode("idna")
    except UnicodeError:
        raise ValueError("the URL's host has a part that is empty or too long") from None
    if "?" in text or "#" in text:
        raise ValueError("no query and no # in a URL: give api_key_env or extra_headers")
