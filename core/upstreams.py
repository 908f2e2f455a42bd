"""Owns what the operator says of the servers that answer beside this one, as values.

Reads no file and connects to nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from pydantic import SecretStr


class UpstreamKind(StrEnum):
    """What runs there: it decides which paths it has, and where it tells of itself."""

    VLLM = "vllm"
    LLAMA_CPP = "llama_cpp"
    JARVIS = "jarvis"
    OPENROUTER = "openrouter"
    OPENAI = "openai"


@dataclass(frozen=True, slots=True)
class UpstreamTimeouts:
    """In seconds. `read_s` is the longest wait for the first piece of an answer and between two;
    `total_s` holds for a whole request with all its attempts, None sets no limit.
    """

    connect_s: float = 5.0
    read_s: float = 120.0
    total_s: float | None = 600.0


@dataclass(frozen=True, slots=True)
class BreakerRules:
    """After `num_failures` in a row nothing is sent for `open_s` seconds, then one probe."""

    num_failures: int = 5
    open_s: float = 10.0


@dataclass(frozen=True, slots=True)
class Upstream:
    """One server that speaks OpenAI's API, or several that are alike: one URL each.

    `base_urls` are those that paths such as `chat/completions` are put behind. `models` maps the
    names that clients use to the server's own; where it is empty, the server is asked for its
    list. Of the upstreams that have a model, those with the lowest `priority` are asked first, and
    those with the same one share its requests by `weight`. `hedge_after_s`: a second server is
    asked beside one that has sent nothing for so long, None never does that. `extra_headers` go
    with every request. The client's own key is sent on only with `passes_client_key`.
    """

    name: str
    kind: UpstreamKind
    base_urls: tuple[str, ...]
    api_key: SecretStr | None = None
    default_model: str | None = None
    models: Mapping[str, str] = field(default_factory=dict)
    priority: int = 0
    weight: float = 1.0
    timeouts: UpstreamTimeouts = field(default_factory=UpstreamTimeouts)
    max_retries: int = 2
    breaker: BreakerRules = field(default_factory=BreakerRules)
    hedge_after_s: float | None = None
    verify_ssl: bool = True
    ca_file: Path | None = None
    extra_headers: Mapping[str, SecretStr] = field(default_factory=dict)
    passes_client_key: bool = False

    def __post_init__(self) -> None:
        if not self.name or not self.base_urls:
            raise ValueError("an upstream has a name and a URL")
        if self.weight <= 0 or self.max_retries < 0:
            raise ValueError(f"upstream {self.name}: weight or max_retries is out of range")


@dataclass(frozen=True, slots=True)
class UpstreamPlan:
    """All upstreams, and what answers where a model can't: names in the order they are tried.

    `default_fallbacks` are those of models that `fallbacks` has no list for. The lists of models
    are asked for again every `refresh_s` seconds.
    """

    upstreams: tuple[Upstream, ...] = ()
    fallbacks: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    default_fallbacks: tuple[str, ...] = ()
    refresh_s: float = 60.0

    def __post_init__(self) -> None:
        names = [upstream.name for upstream in self.upstreams]
        if len(set(names)) != len(names):
            raise ValueError("two upstreams have the same name")

    def fallbacks_of(self, name: str) -> tuple[str, ...]:
        """What is tried, in order, where `name` can't answer."""
        return self.fallbacks.get(name, self.default_fallbacks)
