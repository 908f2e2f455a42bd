"""Owns what is measured: the table of cases. Starts nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from types import MappingProxyType

from benchmarks.loads import Chats, Load, LongAmongRunning, Prompts
from benchmarks.models.shapes import SHAPES, TINY
from benchmarks.servers.kinds import IN_FRONT

BATCHED_BENCH = "llama-batched-bench"
THROUGH = "through ours"
_TINY_CONTEXT = 4096
_ROUNDED_TO = 256
# How many of a case's requests are sent to a model that is so much slower.
_SHARES: Mapping[str, float] = MappingProxyType({"1b": 0.25, TINY: 4.0})


@dataclass(frozen=True, slots=True)
class Contestant:
    """A server that takes part; `settings` are variables of ours. The first of a case is compared
    with each of the others. `behind` is the label of the one that it stands in front of.
    """

    label: str
    server: str
    settings: Mapping[str, str] = field(default_factory=dict)
    behind: str | None = None


def _named(*servers: str) -> tuple[Contestant, ...]:
    return tuple(Contestant(server, server) for server in servers)


@dataclass(frozen=True, slots=True)
class Case:
    """A load on a model, and who takes part."""

    name: str
    load: Load
    contestants: tuple[Contestant, ...] = _named("ours", "llama-server")
    model: str = "140m"

    @property
    def slot_tokens(self) -> int:
        """What each of the clients needs at most, in tokens."""
        return -(-self.load.tokens_per_client // _ROUNDED_TO) * _ROUNDED_TO

    @property
    def has_room(self) -> bool:
        """Whether the model was made for so much."""
        shape = SHAPES.get(self.model)
        return self.slot_tokens <= (shape.context if shape else _TINY_CONTEXT)

    def scaled(self, share: float) -> "Case":
        return replace(self, load=self.load.scaled(share * _SHARES.get(self.model, 1.0)))


_VLLM = _named("ours-vllm", "vllm")
_SPECULATION = (
    Contestant("ours, speculation", "ours", {"JARVIS_LLAMA_SPECULATION": "auto"}),
    Contestant("ours, none", "ours", {"JARVIS_LLAMA_SPECULATION": "off"}),
)


def _in_front_of(server: str) -> tuple[Contestant, ...]:
    """Ours as the way to a server, and that server itself."""
    return Contestant(THROUGH, IN_FRONT, behind=server), Contestant(server, server)


_PACES = (30, 60, 120)
_CONTEXTS = (128, 500, 1500, 3000, 6000)
_CACHED_PERCENT = (0, 25, 50, 75, 90)
_CACHED_WORDS = 1000

CASES: tuple[Case, ...] = (
    Case("clients-1", Prompts(1, requests=10)),
    Case("clients-8", Prompts(8, requests=5)),
    Case("clients-16", Prompts(16, requests=3)),
    Case("clients-32", Prompts(32, requests=2)),
    Case("clients-1", Prompts(1, requests=10), model="1b"),
    Case("clients-8", Prompts(8, requests=4), model="1b"),
    Case("clients-16", Prompts(16, requests=3), model=TINY),
    Case("shared-prefix", Prompts(8, words=24, shared=400, requests=5)),
    Case("long-arrives", LongAmongRunning(8, words=6000)),
    Case("chats", Chats(4, turns=8, words=340, tokens=32)),
    Case("decode-8", Prompts(8, tokens=256), _named("ours", "llama-server", BATCHED_BENCH)),
    Case("one-at-a-time", Prompts(16), _named("ours", "llama_cpp.server")),
    Case("repeated-text", Prompts(1, tokens=512, requests=2), _SPECULATION, "140m-repeated"),
    Case("varied-text", Prompts(1, tokens=256, requests=2), _SPECULATION),
    *(
        Case(f"vllm-{count}", Prompts(count, requests=requests), _VLLM, TINY)
        for count, requests in ((1, 3), (8, 2), (16, 1))
    ),
    *(
        Case(f"growth-context-{count}", Prompts(1, words=count, tokens=32, requests=requests))
        for count, requests in zip(_CONTEXTS, (12, 8, 3, 2, 1), strict=True)
    ),
    *(
        Case(
            f"growth-cached-{percent}",
            Prompts(
                4,
                words=_CACHED_WORDS * (100 - percent) // 100,
                shared=_CACHED_WORDS * percent // 100,
                tokens=32,
                requests=3,
            ),
        )
        for percent in _CACHED_PERCENT
    ),
    Case("upstream-paced-1", Prompts(1, tokens=24, requests=8), _in_front_of("paced-60"), TINY),
    *(
        Case(
            f"upstream-paced-{pace}-16",
            Prompts(16, requests=2, is_uneven=True),
            _in_front_of(f"paced-{pace}"),
            TINY,
        )
        for pace in _PACES
    ),
    Case("upstream-burst-16", Prompts(16, tokens=24, requests=3), _in_front_of("paced-60"), TINY),
    Case("upstream-instant-16", Prompts(16, requests=16), _in_front_of("instant"), TINY),
    Case("upstream-ours-1", Prompts(1, requests=10), _in_front_of("ours")),
    Case("upstream-ours-16", Prompts(16, requests=3), _in_front_of("ours")),
    Case("upstream-ours-16", Prompts(16, requests=2), _in_front_of("ours"), TINY),
    Case("upstream-vllm-1", Prompts(1, requests=4), _in_front_of("vllm"), TINY),
    Case("upstream-vllm-16", Prompts(16, requests=2), _in_front_of("vllm"), TINY),
    Case("upstream-llama_cpp.server-1", Prompts(1, requests=10), _in_front_of("llama_cpp.server")),
    Case("client-ceiling", Prompts(32, requests=20), _named("instant"), TINY),
)
QUICK = ("clients-1", "clients-8", "shared-prefix")


@dataclass(frozen=True, slots=True)
class Choice:
    """What a command line asks for. Empty means all; names may be patterns."""

    cases: Sequence[str] = ()
    models: Sequence[str] = ()
    servers: Sequence[str] = ()
    scale: float = 1.0


def chosen(choice: Choice) -> list[Case]:
    """`models` go before a case's own model. A case without two contestants is left out, unless it
    never had two.
    """
    found: dict[tuple[str, str], Case] = {}
    for case in (case for case in CASES if _is_asked_for(case.name, choice.cases)):
        for model in choice.models or (case.model,):
            each = replace(case, model=model, contestants=_taking_part(case, choice.servers))
            if len(each.contestants) >= min(2, len(case.contestants)):
                found.setdefault((case.name, model), each.scaled(choice.scale))
    return list(found.values())


def _is_asked_for(name: str, patterns: Sequence[str]) -> bool:
    """A pattern, or the beginning of a group's name up to a dash."""
    return not patterns or any(
        fnmatchcase(name, pattern) or name.startswith(f"{pattern}-") for pattern in patterns
    )


def _taking_part(case: Case, servers: Sequence[str]) -> tuple[Contestant, ...]:
    """The first always does."""
    first, *others = case.contestants
    return (first, *(each for each in others if not servers or each.server in servers))
