"""Owns how a server's load is read from its Prometheus metrics, which are not to be trusted."""

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import islice

from prometheus_client.parser import text_string_to_metric_families

from core.upstreams import UpstreamKind

_LONGEST_LINE = 4096
_MOST_LINES = 1000


@dataclass(frozen=True, slots=True)
class ServerLoad:
    """How busy a server says it is; None where it does not. The KV cache's use is 0 to 1."""

    num_running: float | None = None
    num_waiting: float | None = None
    kv_cache_usage: float | None = None


@dataclass(frozen=True, slots=True)
class _Names:
    """By which a kind of server tells each: the first that is there counts."""

    running: tuple[str, ...]
    waiting: tuple[str, ...]
    kv_cache: tuple[str, ...]

    @property
    def all(self) -> tuple[str, ...]:
        return (*self.running, *self.waiting, *self.kv_cache)


_VLLM = _Names(
    ("vllm:num_requests_running",),
    ("vllm:num_requests_waiting",),
    ("vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc"),
)
_NAMES: Mapping[UpstreamKind, _Names] = {
    UpstreamKind.VLLM: _VLLM,
    UpstreamKind.JARVIS: _VLLM,
    UpstreamKind.LLAMA_CPP: _Names(
        ("llamacpp:requests_processing",),
        ("llamacpp:requests_deferred",),
        ("llamacpp:kv_cache_usage_ratio",),
    ),
}


def has_metrics(kind: UpstreamKind) -> bool:
    """Whether servers of this kind may tell of their load."""
    return kind in _NAMES


def read_load(body: bytes, kind: UpstreamKind) -> ServerLoad:
    """Of several engines behind a URL, requests are summed and the fullest cache counts. What
    can't be read is not told.
    """
    names = _NAMES[kind]
    values = _values(_wanted_lines(body, names.all))
    return ServerLoad(
        num_running=_first(names.running, values, math.fsum),
        num_waiting=_first(names.waiting, values, math.fsum),
        kv_cache_usage=_share(_first(names.kv_cache, values, max)),
    )


def _wanted_lines(body: bytes, names: tuple[str, ...]) -> list[str]:
    """The parser's time grows with the square of a line's length, and most lines are not for us."""
    wanted = b"|".join(re.escape(name.encode()) for name in names)
    found = re.finditer(rb"^(?:" + wanted + rb")[^\r\n]*", body, re.MULTILINE)
    lines = (line[0] for line in islice(found, _MOST_LINES))
    return [line.decode(errors="replace") for line in lines if len(line) <= _LONGEST_LINE]


def _values(lines: Iterable[str]) -> Mapping[str, list[float]]:
    values: dict[str, list[float]] = {}
    for line in lines:
        # Each by itself, so that one that is malformed takes no other with it. The parser raises
        # whatever its indexing and its arithmetic do.
        try:
            samples = [s for family in text_string_to_metric_families(line) for s in family.samples]
            found = [(sample.name, float(sample.value)) for sample in samples]
        except (ArithmeticError, LookupError, TypeError, ValueError):
            continue
        for name, value in found:
            if math.isfinite(value) and value >= 0:
                values.setdefault(name, []).append(value)
    return values


def _first(
    names: tuple[str, ...],
    values: Mapping[str, list[float]],
    together: Callable[[list[float]], float],
) -> float | None:
    given = next((values[name] for name in names if name in values), None)
    try:
        return None if given is None else together(given)
    except OverflowError:
        return None


def _share(value: float | None) -> float | None:
    return value if value is None or value <= 1 else None
