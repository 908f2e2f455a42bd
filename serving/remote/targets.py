"""Owns who answers for a model's name: this process, other servers, and then what stands in."""

from collections.abc import Callable
from dataclasses import dataclass

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


class ModelRouter:
    """Finds targets. `host` is None where there are no upstreams."""

    def __init__(self, host: UpstreamHost | None, is_local: Callable[[str], bool]) -> None:
        """`is_local` tells whether a name is one of those that are served here."""
        self.host = host
        self._is_local = is_local

    async def targets(
        self, name: str | None, *, has_local: bool, has_fallbacks: bool
    ) -> tuple[Target, ...]:
        """Those to ask, in order; none where nobody has the model.

        `has_local`: an engine here can answer what is asked. Its own names go before those of
        upstreams; no name means its model, or the upstreams' default one where it is not there.
        """
        chosen = await self._target(name or "", has_local=has_local)
        if chosen is None or self.host is None or not has_fallbacks:
            return () if chosen is None else (chosen,)
        targets = [chosen]
        for fallback in self.host.plan.fallbacks_of(name or ""):
            target = await self._target(fallback, has_local=has_local)
            if target is not None and target not in targets:
                targets.append(target)
        return tuple(targets)

    async def _target(self, name: str, *, has_local: bool) -> Target | None:
        if has_local and (not name or self._is_local(name)):
            return LocalTarget(name or None)
        places = () if self.host is None else await self.host.find(name)
        return RemoteTarget(name, places) if places else None
