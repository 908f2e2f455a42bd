"""Owns who answers for a model's name: this process, other servers, and then what stands in."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Protocol

from backends.upstream import Place, UpstreamHost


@dataclass(frozen=True, slots=True)
class LocalTarget:
    """The engine in this process, asked for by `model`, one of its names."""

    model: str | None


@dataclass(frozen=True, slots=True)
class RemoteTarget:
    """Other servers, asked for `model` at one of `places`."""

    model: str
    places: tuple[Place, ...]


Target = LocalTarget | RemoteTarget


class LocalNames(Protocol):
    """The names of a model in this process."""

    @property
    def accepts_any(self) -> bool:
        """Whether a name that nobody has is taken for this model's."""
        ...

    def lists(self, name: str) -> bool: ...


class ModelRouter:
    """Finds targets among this process's names and those of the upstreams behind `host`."""

    def __init__(self, host: UpstreamHost) -> None:
        self.host = host
        upstreams = host.plan.upstreams
        self._prefixes = {each.name for each in upstreams} | {each.kind for each in upstreams}

    async def targets(
        self, name: str | None, local: LocalNames | None, *, has_fallbacks: bool = True
    ) -> tuple[Target, ...]:
        """Those to ask, in order; none where nobody is known to have the model, unless a list of
        fallbacks is the name's own: it may be that of a server that was never up since our start.

        `local` is None where no engine here can answer what is asked. Its own names go before those
        of upstreams; no name means its model, or without it the upstreams' default one.
        """
        plan, wanted = self.host.plan, name or ""
        chosen = await self._target(wanted, local)
        if chosen is None and wanted not in plan.fallbacks:
            return ()
        fallbacks = plan.fallbacks_of(wanted) if has_fallbacks else ()
        found = [chosen, *[await self._target(each, local) for each in fallbacks]]
        return tuple(_each_once(target for target in found if target is not None))

    async def _target(self, name: str, local: LocalNames | None) -> Target | None:
        if local is not None and (not name or local.lists(name)):
            return LocalTarget(name or None)
        accepts_any = local is not None and local.accepts_any
        # Where any name is good here, servers are not asked who has it: that may take seconds.
        if (not accepts_any or self._is_known(name)) and (places := await self.host.find(name)):
            return RemoteTarget(name or places[0].model, places)
        return LocalTarget(name) if accepts_any else None

    def _is_known(self, name: str) -> bool:
        """Whether a name is an upstream's, as far as is known now."""
        prefixes = (name.partition(separator) for separator in ("://", "/"))
        if any(found and prefix in self._prefixes for prefix, found, _ in prefixes):
            return True
        return any(model.name == name for model in self.host.models())


def _each_once(targets: Iterable[Target]) -> Iterator[Target]:
    """Without what was asked before: names may lead to the same model of the same server."""
    met: set[Target | Place] = set()
    for target in targets:
        if target in met:
            continue
        met.add(target)
        if isinstance(target, LocalTarget):
            yield target
        elif places := tuple(place for place in target.places if place not in met):
            met.update(places)
            yield replace(target, places=places)
