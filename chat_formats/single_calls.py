"""Owns how turns with several calls are told to a model that knows one call a turn."""

from collections.abc import Iterator
from dataclasses import replace

from chat_formats.turns import Role, Turn


def with_single_calls(turns: tuple[Turn, ...]) -> Iterator[Turn]:
    """Each call as a turn of its own, with its result behind it where one has its id.

    Results that belong to no call follow in their order. A turn's text stays with its first call.
    """
    at = 0
    while at < len(turns):
        turn = turns[at]
        at += 1
        if len(turn.tool_calls) <= 1:
            yield turn
            continue
        results: list[Turn] = []
        while at < len(turns) and turns[at].role is Role.TOOL:
            results.append(turns[at])
            at += 1
        yield from _pairs(turn, results)


def _pairs(turn: Turn, results: list[Turn]) -> Iterator[Turn]:
    for number, call in enumerate(turn.tool_calls):
        yield replace(turn, content="" if number else turn.content, tool_calls=(call,))
        own = [each for each in results if call.id is not None and each.tool_call_id == call.id]
        for result in own[:1]:
            results.remove(result)
            yield result
    yield from results
