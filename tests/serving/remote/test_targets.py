"""Who answers for a name, and who stands in."""

from dataclasses import dataclass, field

import pytest

from backends.upstream import Place, RemoteModel
from core.upstreams import Upstream, UpstreamKind, UpstreamPlan
from serving.remote.targets import LocalTarget, ModelRouter, RemoteTarget, Target
from tests.serving.remote.made_host import MadeHost


@dataclass
class NamedHost(MadeHost):
    """Has models by name. `asked` are the names that were looked for."""

    places: dict[str, tuple[Place, ...]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    async def find(self, name: str | None) -> tuple[Place, ...]:
        self.asked.append(name or "")
        return self.places.get(name or "", ())

    def models(self) -> tuple[RemoteModel, ...]:
        return tuple(RemoteModel(name, self.places[name]) for name in self.places)


@dataclass(frozen=True)
class Names:
    listed: tuple[str, ...]
    accepts_any: bool = False

    def lists(self, name: str) -> bool:
        return name in self.listed


A, B = Place("a", "theirs"), Place("b", "other")
HERE = Names(("mine", "alias"))
ANY = Names(("mine",), accepts_any=True)
HOST_PLACES = {"theirs": (A, B), "other": (B,), "mine": (A,), "a/x": (A,), "": (B,)}


def router(host: NamedHost | None = None, **plan: object) -> ModelRouter:
    host = host or NamedHost(places=HOST_PLACES)
    upstreams = (Upstream("a", UpstreamKind.VLLM, ("http://a/v1",)),)
    host.plan = UpstreamPlan(upstreams, **plan)  # type: ignore[arg-type]
    return ModelRouter(host)


MINE, THEIRS = LocalTarget("mine"), RemoteTarget("theirs", (A, B))


@pytest.mark.parametrize(
    ("name", "local", "target"),
    [
        ("mine", HERE, MINE),
        ("alias", HERE, LocalTarget("alias")),
        (None, HERE, LocalTarget(None)),
        ("", HERE, LocalTarget(None)),
        ("theirs", HERE, THEIRS),
        ("theirs", None, THEIRS),
        ("mine", None, RemoteTarget("mine", (A,))),
        (None, None, RemoteTarget("other", (B,))),
        ("theirs", ANY, THEIRS),
        ("a/x", ANY, RemoteTarget("a/x", (A,))),
        ("anything", ANY, LocalTarget("anything")),
        ("vllm/nothing", ANY, LocalTarget("vllm/nothing")),
    ],
)
async def test_a_name_has_one_that_is_asked_first(
    name: str | None, local: Names | None, target: Target
) -> None:
    assert await router().targets(name, local) == (target,)


async def test_a_name_that_nobody_has_leads_nowhere() -> None:
    fallbacks = router(default_fallbacks=("theirs",))
    assert await fallbacks.targets("nobodys", HERE) == ()
    assert await fallbacks.targets("nobodys", None) == ()


async def test_a_list_of_its_own_answers_for_a_name_that_nobody_is_known_to_have() -> None:
    listed = router(fallbacks={"down": ("gone", "theirs", "mine")}, default_fallbacks=("other",))
    assert await listed.targets("down", HERE) == (THEIRS, MINE)
    assert await listed.targets("down", None) == (THEIRS,), "mine is theirs of a by another name"
    assert await listed.targets("down", HERE, has_fallbacks=False) == ()
    assert await listed.targets("nobodys", HERE) == ()


async def test_servers_are_not_asked_for_what_is_taken_here_anyway() -> None:
    host = NamedHost(places=HOST_PLACES)
    chosen = router(host)
    for name in ("gpt-4o", "meta-llama/unknown", "mine", ""):
        await chosen.targets(name, ANY)
    assert host.asked == []
    await chosen.targets("vllm://unknown", ANY)
    assert host.asked == ["vllm://unknown"]


async def test_stand_ins_follow_in_their_order_and_each_once() -> None:
    chosen = router(default_fallbacks=("mine", "nobodys", "theirs", "mine", "other"))
    found = await chosen.targets("theirs", HERE)
    assert found == (THEIRS, MINE)


async def test_a_model_of_a_server_is_asked_once_by_whatever_name() -> None:
    names = ("theirs", "a/theirs", "both", "mine")
    places = {"theirs": (A,), "a/theirs": (A,), "both": (A, B)}
    found = await router(NamedHost(places=places), default_fallbacks=names).targets("theirs", HERE)
    assert found == (RemoteTarget("theirs", (A,)), RemoteTarget("both", (B,)), MINE)


async def test_a_models_own_list_is_instead_of_the_default_one() -> None:
    chosen = router(fallbacks={"theirs": ("mine",), "other": ()}, default_fallbacks=("other",))
    assert await chosen.targets("theirs", HERE) == (THEIRS, MINE)
    assert await chosen.targets("other", HERE) == (RemoteTarget("other", (B,)),)
    assert await chosen.targets("mine", HERE) == (MINE, RemoteTarget("other", (B,)))


async def test_a_request_can_do_without_them() -> None:
    chosen = router(default_fallbacks=("mine",))
    assert await chosen.targets("theirs", HERE, has_fallbacks=False) == (THEIRS,)


async def test_a_request_without_a_name_has_the_default_ones() -> None:
    chosen = router(default_fallbacks=("theirs",), fallbacks={"mine": ("other",)})
    assert await chosen.targets(None, HERE) == (LocalTarget(None), THEIRS)
