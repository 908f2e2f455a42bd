"""Owns where each model's name leads. Asks nobody: what servers list is told to it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from backends.remote.server_models import ListedModel
from backends.upstream import Place, RemoteModel
from core.upstreams import Upstream, UpstreamKind

_NO_FACTS: Mapping[str, Any] = MappingProxyType({})


@dataclass(slots=True)
class _Stock:
    """What one upstream has: the last good list of each of its URLs, and what settings say."""

    upstream: Upstream
    lists: dict[str, tuple[ListedModel, ...]] = field(default_factory=dict)
    facts: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._settle()

    def learn(self, url: str, models: tuple[ListedModel, ...]) -> None:
        self.lists[url] = models
        self._settle()

    def _settle(self) -> None:
        # Whoever told first: what is known of a name must not depend on that.
        order = {url: index for index, url in enumerate(self.upstream.base_urls)}
        urls = sorted(self.lists, key=lambda url: (order.get(url, len(order)), url))
        listed = [each for url in urls for each in self.lists[url]]
        self.facts = {}
        for model in listed:
            self.facts.setdefault(model.name, model.facts)
        self.names = dict(self.upstream.models) or {name: name for name in self.facts}
        default = self.upstream.default_model
        if default is not None:
            self.names.setdefault(default, default)

    @property
    def is_known(self) -> bool:
        """Whether a name that is not among `names` is one that it does not have."""
        return bool(self.upstream.models) or bool(self.lists)

    @property
    def default(self) -> str | None:
        """For requests that name no model: the one that is set, or its only one."""
        if self.upstream.default_model is not None:
            return self.upstream.default_model
        return next(iter(self.names)) if len(self.names) == 1 else None

    def place(self, name: str) -> Place:
        """Names that it is not known to have are sent as they are: it may know better."""
        return Place(self.upstream.name, self.names.get(name, name))

    def inner_name(self, rest: str) -> str:
        """What stands behind this upstream's name or kind, as the server calls it. OpenRouter's own
        models are called openrouter/..., and no name of its is without a slash.
        """
        own = f"{UpstreamKind.OPENROUTER}/{rest}"
        is_own = own in self.names or "/" not in rest
        if self.upstream.kind is UpstreamKind.OPENROUTER and rest not in self.names and is_own:
            return own
        return rest


@dataclass(frozen=True, slots=True)
class _Index:
    """All names that lead somewhere, and whose places name each upstream."""

    models: Mapping[str, RemoteModel]
    of_upstream: Mapping[str, tuple[RemoteModel, ...]]


class Directory:
    """All upstreams' models, in the order in which they are asked: by priority, then as given."""

    def __init__(self, upstreams: Sequence[Upstream]) -> None:
        ordered = sorted(upstreams, key=lambda upstream: upstream.priority)
        self._stocks = tuple(_Stock(upstream) for upstream in ordered)
        self._by_name = {stock.upstream.name: stock for stock in self._stocks}
        self._of_prefix: dict[str, list[_Stock]] = {}
        for stock in self._stocks:
            self._of_prefix.setdefault(stock.upstream.kind, []).append(stock)
        self._of_prefix.update({name: [stock] for name, stock in self._by_name.items()})
        self._held_by = self._all_held()
        self._index: _Index | None = None

    def learn(self, upstream: str, url: str, models: tuple[ListedModel, ...]) -> None:
        """`models` are now those that the server at `url` has."""
        stock = self._by_name[upstream]
        if stock.lists.get(url) != models:
            stock.learn(url, models)
            self._held_by = self._all_held()
            self._index = None

    def find(self, name: str) -> tuple[Place, ...]:
        """Places of a name, as far as is known now; an empty name means the default model."""
        listed = self._indexed().models.get(name)
        return self._places(name) if listed is None else listed.places

    def is_sure(self, name: str) -> bool:
        """Whether what servers list now could change nothing for a name."""
        if not name:
            return any(stock.upstream.default_model for stock in self._stocks)
        candidates, rest = self._addressed(name)
        if not rest and any(stock.upstream.default_model for stock in candidates):
            return True
        return (len(candidates) == 1 and bool(rest)) or self.is_held(name)

    def is_held(self, name: str) -> bool:
        """Whether an upstream is known to have what a name stands for."""
        candidates, rest = self._addressed(name)
        inner = ((stock, stock.inner_name(rest)) for stock in candidates)
        return name in self._indexed().models or any(each in s.names for s, each in inner)

    def models(self) -> tuple[RemoteModel, ...]:
        """Every name that leads somewhere, without prefixes."""
        return tuple(self._indexed().models.values())

    def models_of(self, upstream: str) -> tuple[RemoteModel, ...]:
        """Those that an upstream answers for, also if others are asked before it; their facts are
        what its own server says.
        """
        return self._indexed().of_upstream[upstream]

    def _indexed(self) -> _Index:
        if self._index is None:
            models: dict[str, RemoteModel] = {}
            of_upstream: dict[str, list[RemoteModel]] = {name: [] for name in self._by_name}
            for name in self._held_by:
                places = self._places(name)
                own = [(at.upstream, self._remote_model(name, places, at)) for at in places]
                # A server may list what reads as an address of another, and leads nowhere.
                if own:
                    models[name] = own[0][1]
                for upstream, model in own:
                    of_upstream[upstream].append(model)
            self._index = _Index(models, {each: tuple(of_upstream[each]) for each in of_upstream})
        return self._index

    def _remote_model(self, name: str, places: tuple[Place, ...], at: Place) -> RemoteModel:
        facts = self._by_name[at.upstream].facts.get(at.model, _NO_FACTS)
        return RemoteModel(name, places, facts)

    def _places(self, name: str) -> tuple[Place, ...]:
        if not name:
            return self._default_places()
        candidates, rest = self._addressed(name)
        if not candidates:
            return _places_at(self._holders(name), name)
        if not rest:
            defaults = [(stock, stock.default) for stock in candidates]
            return tuple(stock.place(each) for stock, each in defaults if each is not None)
        return self._places_among(candidates, name, rest)

    def _places_among(
        self, candidates: Sequence[_Stock], name: str, rest: str
    ) -> tuple[Place, ...]:
        """Those that have the model; else those that may; else who lists the name as a whole."""
        inner = [(stock, stock.inner_name(rest)) for stock in candidates]
        holding = tuple(stock.place(each) for stock, each in inner if each in stock.names)
        unsure = tuple(stock.place(each) for stock, each in inner if not stock.is_known)
        all_asked = tuple(stock.place(each) for stock, each in inner)
        whole = self._holders(name)
        # No server may name itself into a neighbour's place; but OpenRouter's names begin with
        # vendors, and an upstream may be called as one.
        if name.startswith(candidates[0].upstream.name):
            whole = [each for each in whole if each.upstream.kind is UpstreamKind.OPENROUTER]
        return holding or unsure or _places_at(whole, name) or all_asked

    def _default_places(self) -> tuple[Place, ...]:
        chosen = [s.upstream.default_model for s in self._stocks if s.upstream.default_model]
        names = chosen or list(self._held_by)
        if not chosen and len(names) != 1:
            return ()
        return _places_at(self._holders(names[0]), names[0])

    def _all_held(self) -> dict[str, list[_Stock]]:
        held: dict[str, list[_Stock]] = {}
        for stock in self._stocks:
            for name in stock.names:
                held.setdefault(name, []).append(stock)
        return held

    def _holders(self, name: str) -> Sequence[_Stock]:
        return self._held_by.get(name, ())

    def _addressed(self, name: str) -> tuple[Sequence[_Stock], str]:
        """The upstream whose name, or those whose kind, a name begins with; and what stands behind
        that.
        """
        for separator in ("://", "/"):
            prefix, found, rest = name.partition(separator)
            if found and prefix in self._of_prefix:
                return self._of_prefix[prefix], rest
        return (), name


def _places_at(stocks: Iterable[_Stock], name: str) -> tuple[Place, ...]:
    return tuple(stock.place(name) for stock in stocks)
