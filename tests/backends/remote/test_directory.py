"""Where names lead: prefixes, lists, defaults, and the order of places."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.remote.directory import Directory
from backends.remote.server_models import ListedModel
from backends.upstream import Place
from core.upstreams import Upstream, UpstreamKind


def upstream(
    name: str,
    kind: str = "vllm",
    *,
    models: Mapping[str, str] | None = None,
    default: str | None = None,
    priority: int = 0,
) -> Upstream:
    return Upstream(
        name,
        UpstreamKind(kind),
        (f"http://{name}/v1", f"http://{name}-2/v1"),
        models=models or {},
        default_model=default,
        priority=priority,
    )


def learn(directory: Directory, name: str, *models: str, url: str = "", **facts: int) -> None:
    listed = tuple(ListedModel(model, facts) for model in models)
    directory.learn(name, url or f"http://{name}/v1", listed)


def found(directory: Directory, name: str) -> list[str]:
    """Places as upstream:model, for short."""
    return [f"{place.upstream}:{place.model}" for place in directory.find(name)]


@pytest.fixture
def three() -> Directory:
    """A vLLM server, another one of that kind, and OpenRouter behind both."""
    directory = Directory(
        [upstream("cloud", "openrouter", priority=5), upstream("vllm"), upstream("box")]
    )
    learn(directory, "vllm", "meta-llama/Llama", "shared")
    learn(directory, "box", "Qwen/Qwen3", "shared", max_model_len=8)
    learn(directory, "cloud", "meta-llama/Llama", "openrouter/auto", "openai/gpt-oss")
    return directory


def test_a_bare_name_leads_to_all_that_list_it_by_priority(three: Directory) -> None:
    assert found(three, "shared") == ["vllm:shared", "box:shared"]
    assert found(three, "meta-llama/Llama") == ["vllm:meta-llama/Llama", "cloud:meta-llama/Llama"]
    assert found(three, "Qwen/Qwen3") == ["box:Qwen/Qwen3"]
    assert found(three, "meta-llama/llama") == []
    assert found(three, "nobody") == []


@pytest.mark.parametrize("separator", ["/", "://"])
def test_an_upstreams_name_before_a_model_leads_there_alone(
    three: Directory, separator: str
) -> None:
    assert found(three, f"box{separator}shared") == ["box:shared"]
    assert found(three, f"vllm{separator}meta-llama/Llama") == ["vllm:meta-llama/Llama"]
    assert found(three, f"cloud{separator}meta-llama/Llama") == ["cloud:meta-llama/Llama"]


@pytest.mark.parametrize("separator", ["/", "://"])
def test_a_kind_before_a_model_leads_to_those_of_the_kind(separator: str) -> None:
    directory = Directory([upstream("a"), upstream("b"), upstream("c", "llama_cpp")])
    learn(directory, "a", "x", "y")
    learn(directory, "b", "y")
    learn(directory, "c", "y")
    assert found(directory, f"vllm{separator}x") == ["a:x"]
    assert found(directory, f"vllm{separator}y") == ["a:y", "b:y"]
    assert found(directory, f"llama_cpp{separator}y") == ["c:y"]
    assert found(directory, f"jarvis{separator}y") == []


def test_an_upstream_is_meant_before_a_kind_of_the_same_name() -> None:
    directory = Directory([upstream("box"), upstream("vllm", "openai")])
    learn(directory, "box", "x")
    learn(directory, "vllm", "x")
    assert found(directory, "vllm/x") == ["vllm:x"]


def test_a_model_that_the_named_upstream_does_not_list_is_asked_for_there(three: Directory) -> None:
    assert found(three, "box/new") == ["box:new"]
    assert found(three, "vllm://org/new") == ["vllm:org/new"]


def test_of_a_kind_those_that_may_have_a_model_are_asked() -> None:
    directory = Directory([upstream("a"), upstream("b"), upstream("c")])
    learn(directory, "a", "x")
    assert found(directory, "vllm/new") == ["b:new", "c:new"]
    learn(directory, "b")
    learn(directory, "c")
    assert found(directory, "vllm/new") == ["a:new", "b:new", "c:new"]


def test_who_is_known_to_have_a_model_is_asked_before_who_may() -> None:
    directory = Directory([upstream("a"), upstream("b"), upstream("c", models={"y": "y"})])
    learn(directory, "b", "x")
    assert found(directory, "vllm/x") == ["b:x"]
    assert found(directory, "vllm/y") == ["c:y"]
    assert found(directory, "vllm/new") == ["a:new"], "what is configured is all there is"


def test_openrouters_own_models_keep_its_name(three: Directory) -> None:
    assert found(three, "openrouter/auto") == ["cloud:openrouter/auto"]
    assert found(three, "cloud/auto") == ["cloud:openrouter/auto"]
    assert found(three, "openrouter://auto") == ["cloud:openrouter/auto"]
    assert found(three, "openrouter/openrouter/auto") == ["cloud:openrouter/auto"]
    assert found(three, "openrouter/meta-llama/Llama") == ["cloud:meta-llama/Llama"]
    unknown = Directory([upstream("cloud", "openrouter")])
    assert found(unknown, "openrouter/auto") == ["cloud:openrouter/auto"]
    assert found(unknown, "openrouter/vendor/model") == ["cloud:vendor/model"]


def test_a_listed_name_that_reads_as_an_address_still_leads_to_its_server() -> None:
    """OpenRouter's ids begin with vendors, of whom one may be an upstream too."""
    directory = Directory([upstream("openai", "openai"), upstream("cloud", "openrouter")])
    learn(directory, "cloud", "openai/gpt-oss", "openai/gpt")
    assert found(directory, "openai/gpt-oss") == ["openai:gpt-oss"], "it may have it"
    learn(directory, "openai", "gpt")
    assert found(directory, "openai/gpt-oss") == ["cloud:openai/gpt-oss"]
    assert found(directory, "openai/gpt") == ["openai:gpt"]
    assert found(directory, "openai/other") == ["openai:other"]


def test_no_list_leads_requests_for_another_upstream_away_from_it() -> None:
    directory = Directory([upstream("box"), upstream("evil", "openai")])
    learn(directory, "box", "x")
    learn(directory, "evil", "box/y", "box://y", "box/x", "vllm/z")
    for name in ("box/y", "box://y"):
        assert found(directory, name) == ["box:y"]
    assert found(directory, "box/x") == ["box:x"]
    assert found(directory, "vllm/z") == ["evil:vllm/z"], "no upstream is called so"


def test_configured_names_are_the_servers_own_there() -> None:
    directory = Directory([upstream("box", models={"llama": "org/Llama", "q": "q"})])
    assert found(directory, "llama") == ["box:org/Llama"]
    assert found(directory, "box/llama") == ["box:org/Llama"]
    assert found(directory, "box/org/Llama") == ["box:org/Llama"]
    assert found(directory, "org/Llama") == []
    learn(directory, "box", "org/Llama", "more", max_model_len=9)
    assert found(directory, "more") == [], "only what is configured is offered"
    assert [(model.name, model.facts) for model in directory.models()] == [
        ("llama", {"max_model_len": 9}),
        ("q", {}),
    ]


def test_no_name_means_the_first_default_model_wherever_it_is() -> None:
    directory = Directory(
        [
            upstream("late", default="z", priority=9),
            upstream("a", default="x", models={"x": "org/x"}),
            upstream("b", default="y"),
        ]
    )
    assert found(directory, "") == ["a:org/x"]
    learn(directory, "late", "x")
    assert found(directory, "") == ["a:org/x", "late:x"]
    assert found(directory, "b/") == ["b:y"]
    assert found(directory, "late://") == ["late:z"]
    assert found(directory, "y") == ["b:y"], "a default model needs no list"


def test_no_name_means_the_only_model_where_none_is_set() -> None:
    directory = Directory([upstream("a"), upstream("b")])
    assert found(directory, "") == []
    learn(directory, "a", "x")
    learn(directory, "b", "x")
    assert found(directory, "") == ["a:x", "b:x"]
    learn(directory, "b", "x", "y")
    assert found(directory, "") == []
    assert found(directory, "vllm/") == ["a:x"]
    assert found(directory, "b/") == []


def test_the_lists_of_an_upstreams_servers_are_one_and_the_newest_counts() -> None:
    directory = Directory([upstream("box")])
    learn(directory, "box", "b", "a", max_model_len=1)
    learn(directory, "box", "c", "a", url="http://box-2/v1", max_model_len=2)
    lengths = [(model.name, model.facts["max_model_len"]) for model in directory.models()]
    assert lengths == [("b", 1), ("a", 1), ("c", 2)]
    learn(directory, "box", "d")
    assert [model.name for model in directory.models()] == ["d", "c", "a"]


def test_models_are_those_of_an_upstream_by_their_places(three: Directory) -> None:
    assert [m.name for m in three.models_of("box")] == ["shared", "Qwen/Qwen3"]
    assert [m.name for m in three.models_of("cloud")] == [
        "meta-llama/Llama",
        "openrouter/auto",
        "openai/gpt-oss",
    ]
    shared = next(model for model in three.models() if model.name == "shared")
    assert shared.places == (Place("vllm", "shared"), Place("box", "shared"))
    assert shared.facts == {}, "those of the first place"
    assert three.models_of("box")[0].facts == {"max_model_len": 8}, "its own"


def test_a_listed_name_that_leads_nowhere_is_not_offered() -> None:
    directory = Directory([upstream("vllm"), upstream("b")])
    learn(directory, "vllm", "x", "y")
    learn(directory, "b", "vllm/", "vllm://", "/", "://")
    assert [model.name for model in directory.models()] == ["x", "y", "/", "://"]


@given(
    st.lists(
        st.lists(st.text("ab/:vlm", min_size=1, max_size=8), max_size=4), min_size=3, max_size=3
    ),
    st.text("ab/:vlm", max_size=12),
)
def test_each_listed_name_leads_somewhere_and_no_name_fails(
    lists: list[list[str]], name: str
) -> None:
    directory = Directory([upstream("a"), upstream("b", "openrouter"), upstream("vllm", "jarvis")])
    for of, models in zip(("a", "b", "vllm"), lists, strict=True):
        learn(directory, of, *models)
    for model in directory.models():
        assert model.places == directory.find(model.name)
        assert model.places
        assert directory.is_sure(model.name)
        assert directory.is_held(model.name)
    places = directory.find(name)
    assert len({place.upstream for place in places}) == len(places)
    assert places or not directory.is_held(name)
