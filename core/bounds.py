"""Owns how large a request may be in each way, and all of them together. Checks nothing."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RequestBounds:
    """The most of each that one request may have; `all_bodies_bytes` is of all that are under way.
    Sizes are in bytes.
    """

    body_bytes: int = 16 << 20
    all_bodies_bytes: int = 256 << 20
    url_bytes: int = 8 << 10
    header_bytes: int = 64 << 10
    messages: int = 10_000
    tools: int = 512
    schema_bytes: int = 256 << 10
    stop: int = 16
    n: int = 128
    logit_bias: int = 1024
    prompts: int = 2048
