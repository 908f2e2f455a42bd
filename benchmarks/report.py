"""Owns the table: medians over rounds, and how the first server compares. Knows no server."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from benchmarks.figures import Spread, spread
from benchmarks.results import Measurement

_QUIET = 0.05
Value = Callable[[Measurement], float | None]


@dataclass(frozen=True, slots=True)
class Column:
    """What is shown of a measurement, with the unit in the title."""

    title: str
    value: Value
    digits: int


COLUMNS = (
    Column("tokens/s", lambda m: m.tokens_per_s, 1),
    Column("decode/s", lambda m: m.decode_tokens_per_s, 1),
    Column("first ms", lambda m: _ms(m.first_p50_s), 0),
    Column("p95", lambda m: _ms(m.first_p95_s), 0),
    Column("gap ms", lambda m: _ms(m.gap_p50_s), 1),
    Column("p99", lambda m: _ms(m.gap_p99_s), 1),
    Column("CPU s/1k", lambda m: m.cpu_s_per_1k_tokens, 2),
    Column("MiB", lambda m: m.peak_memory_mib, 0),
    Column("others %", lambda m: _percent(m.others_cpu_share), 0),
)


@dataclass(frozen=True, slots=True)
class Comparison:
    """A case's first server against another: a ratio a round, of the same prompts."""

    case: str
    model: str
    server: str
    tokens_per_s: Spread | None
    decode_tokens_per_s: Spread | None
    first: Spread | None
    longest_gap: Spread | None


def grouped(measurements: Iterable[Measurement]) -> dict[tuple[str, str], list[Measurement]]:
    """By case and model, in the order in which they came."""
    groups: dict[tuple[str, str], list[Measurement]] = {}
    for each in measurements:
        groups.setdefault((each.case, each.model), []).append(each)
    return groups


def by_server(group: Sequence[Measurement]) -> dict[str, list[Measurement]]:
    """The first server first."""
    servers: dict[str, list[Measurement]] = {}
    for each in sorted(group, key=lambda m: not m.is_first):
        servers.setdefault(each.server, []).append(each)
    return servers


def median(group: Sequence[Measurement], value: Value) -> float | None:
    """Over rounds."""
    known = [found for found in map(value, group) if found is not None]
    found = spread(known)
    return found.median if found else None


def comparisons(measurements: Iterable[Measurement]) -> list[Comparison]:
    """Each case's first server over each other one."""
    return [
        _comparison(firsts, others)
        for group in grouped(measurements).values()
        for firsts, *rest in [list(by_server(group).values())]
        for others in rest
    ]


def _comparison(firsts: Sequence[Measurement], others: Sequence[Measurement]) -> Comparison:
    def ratios(value: Value) -> Spread | None:
        peers = {each.round: value(each) for each in others}
        pairs = [(value(each), peers.get(each.round)) for each in firsts]
        return spread([mine / theirs for mine, theirs in pairs if mine is not None and theirs])

    return Comparison(
        case=others[0].case,
        model=others[0].model,
        server=others[0].server,
        tokens_per_s=ratios(lambda m: m.tokens_per_s),
        decode_tokens_per_s=ratios(lambda m: m.decode_tokens_per_s),
        first=ratios(lambda m: m.first_p50_s),
        longest_gap=ratios(lambda m: m.gap_p99_s),
    )


def table(measurements: Sequence[Measurement]) -> str:
    """Medians of every server, then ratios. A server with wrong answers is marked."""
    titles = ["case", "model", "server", "rounds", *(column.title for column in COLUMNS)]
    rows = [
        [case, model, _marked(server, group), str(len(group)), *_cells(group)]
        for (case, model), all_servers in grouped(measurements).items()
        for server, group in by_server(all_servers).items()
    ]
    parts = ["Medians over the rounds.", aligned([titles, *rows])]
    compared = comparisons(measurements)
    if compared:
        heads = ["case", "model", "compared with", "tokens/s", "decode/s", "first token", "gap p99"]
        ratios = [
            [each.case, each.model, each.server, *map(_ratio, _spreads(each))] for each in compared
        ]
        parts += [
            "Each case's first server divided by the other: the median of the rounds' ratios"
            " [lowest, highest].\nAbove 1 is faster for tokens/s, below 1 is sooner for times.",
            aligned([heads, *ratios]),
        ]
    busy = [each for each in measurements if (each.others_cpu_share or 0) > _QUIET]
    if busy:
        parts.append(
            f"BUSY: in {len(busy)} of {len(measurements)} measurements other programs had more than"
            f" {_QUIET:.0%} of the machine: these figures are not to be relied on."
        )
    wrong = sum(each.num_wrong for each in measurements)
    if wrong:
        parts.append(f"WRONG: {wrong} answers, of the servers with an exclamation mark.")
    return "\n\n".join(parts) + "\n"


def _spreads(each: Comparison) -> tuple[Spread | None, ...]:
    return (each.tokens_per_s, each.decode_tokens_per_s, each.first, each.longest_gap)


def _marked(server: str, group: Sequence[Measurement]) -> str:
    return f"{server} !" if any(each.num_wrong for each in group) else server


def _cells(group: Sequence[Measurement]) -> list[str]:
    return [_shown(median(group, column.value), column.digits) for column in COLUMNS]


def _shown(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _ratio(found: Spread | None) -> str:
    return "-" if found is None else f"{found.median:.2f} [{found.low:.2f}, {found.high:.2f}]"


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else 1000 * seconds


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Names to the left, numbers to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column < 3 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )
