"""Owns what a start with --check says of the upstreams. Serves nothing, and shows no key."""

import asyncio
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from backends.remote.checking import Look, look_at
from backends.remote.directory import Directory
from backends.remote.http_wire import HttpWire
from backends.remote.wire import Wire
from backends.upstream import RemoteModel
from core.upstreams import Upstream, UpstreamPlan

_MOST_SHOWN = 20
_LENGTH_FACTS = ("max_model_len", "context_length")
_ANY_NAME = "*"


@dataclass(frozen=True, slots=True)
class _Seen:
    """One URL of an upstream, looked at."""

    upstream: Upstream
    url: str
    look: Look


async def check_report(
    plan: UpstreamPlan,
    local_names: Collection[str] = (),
    make_wire: Callable[[Upstream, str], Wire] = HttpWire,
) -> tuple[str, bool]:
    """Lines about each upstream, and whether all of them can serve. `local_names` are those that
    the engine of this process answers to.

    Raises ConfigurationError where a wire can't be made.
    """
    seen = await _look_at_all(plan, make_wire)
    directory = Directory(plan.upstreams)
    for each in seen:
        if each.look.models is not None:
            directory.learn(each.upstream.name, each.url, each.look.models.models)
    lines = [] if plan.upstreams else ["no upstreams"]
    for upstream in plan.upstreams:
        own = [each for each in seen if each.upstream is upstream]
        lines += _block(upstream, own, directory.models_of(upstream.name))
    lines += _lost_fallbacks(plan, directory, local_names)
    return "\n".join(lines), all(each.look.can_serve for each in seen)


async def _look_at_all(
    plan: UpstreamPlan, make_wire: Callable[[Upstream, str], Wire]
) -> list[_Seen]:
    wires: list[tuple[Upstream, Wire]] = []
    try:
        for upstream in plan.upstreams:
            wires += [(upstream, make_wire(upstream, url)) for url in upstream.base_urls]
        looks = await asyncio.gather(*(look_at(wire, of.kind) for of, wire in wires))
    finally:
        await asyncio.gather(*(wire.close() for _, wire in wires))
    return [
        _Seen(upstream, wire.url, look) for (upstream, wire), look in zip(wires, looks, strict=True)
    ]


def _block(upstream: Upstream, seen: Sequence[_Seen], models: Sequence[RemoteModel]) -> list[str]:
    lines = [f"{upstream.name} ({upstream.kind}, priority {upstream.priority})"]
    lines += [f"  {each.url}: {_answered(each.look)}" for each in seen]
    if not models:
        return [*lines, "  models: none known"]
    shown = ", ".join(_model(each, upstream) for each in models[:_MOST_SHOWN])
    more = f", and {len(models) - _MOST_SHOWN} more" if len(models) > _MOST_SHOWN else ""
    lines.append(f"  models ({len(models)}): {shown}{more}")
    return lines + _unlisted(upstream, seen)


def _answered(look: Look) -> str:
    check = look.check
    if look.latency_s is None:
        return f"NOT REACHABLE: {_line(check.error or 'no reason is known')}"
    state = "reachable" if look.can_serve else "NOT USABLE"
    parts = [f"{state} in {look.latency_s * 1000:.0f} ms"]
    parts += [_line(check.error)] if check.error else []
    parts += [look.models.skipped] if look.models and look.models.skipped else []
    parts += [f"{check.num_running:.0f} running"] if check.num_running is not None else []
    parts += [f"{check.num_waiting:.0f} waiting"] if check.num_waiting is not None else []
    if check.kv_cache_usage is not None:
        parts.append(f"KV cache {check.kv_cache_usage:.0%} full")
    return ", ".join(parts)


def _model(model: RemoteModel, upstream: Upstream) -> str:
    length = next((model.facts[fact] for fact in _LENGTH_FACTS if fact in model.facts), None)
    there = next(place.model for place in model.places if place.upstream == upstream.name)
    notes = [] if there == model.name else [f"there {there}"]
    if isinstance(length, int) and not isinstance(length, bool):
        notes.append(_line(f"max_model_len {length}"))
    return f"{model.name} ({', '.join(notes)})" if notes else model.name


def _unlisted(upstream: Upstream, seen: Sequence[_Seen]) -> list[str]:
    """Names of the settings that no list holds: most often misspelt."""
    lists = [each.look.models.models for each in seen if each.look.models is not None]
    if not lists:
        return []
    listed = {model.name for models in lists for model in models}
    default = upstream.default_model
    wanted = dict.fromkeys(upstream.models.values())
    if default is not None:
        wanted[upstream.models.get(default, default)] = None
    missing = [name for name in wanted if name not in listed]
    return [f"  not in the server's list: {', '.join(missing)}"] if missing else []


def _lost_fallbacks(
    plan: UpstreamPlan, directory: Directory, local_names: Collection[str]
) -> list[str]:
    if _ANY_NAME in local_names:
        return []
    mentions = [(name, "is in the default list") for name in plan.default_fallbacks]
    for model, names in plan.fallbacks.items():
        mentions.append((model, "has a list"))
        mentions += [(name, f"is in the list of {model}") for name in names]
    return [
        f"model_fallbacks: nobody is known to have {name}, which {mention}"
        for name, mention in mentions
        if name not in local_names and not directory.is_held(name)
    ]


def _line(text: str) -> str:
    """What a server says may hold anything."""
    return "".join(sign if sign.isprintable() else "?" for sign in text[:300])
