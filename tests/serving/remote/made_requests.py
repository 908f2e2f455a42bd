"""Requests of every kind that a conversation or a plain prompt can make, for tests."""

from typing import Any

from hypothesis import strategies as st

from core.messages import Conversation, Message, Tool, ToolCall
from core.requests import Ending, GenerationRequest, SamplingWish, View
from core.structures import Choice, JsonObject, JsonSchema, LarkGrammar, Regex
from core.thinking import Effort, Thinking
from core.tool_choice import ToolChoice, ToolMode

SCHEMA = {"type": "object", "properties": {"a": {"const": 2**70}}}
TEXTS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=8)
IDS = st.integers(0, 4000)
TOOLS = (
    Tool("f", None, {"type": "object", "properties": {}}),
    Tool("g", "Tells g.", {"type": "object", "properties": {"x": {"type": "number"}}}, True),
)
STRUCTURES = st.one_of(
    st.just(JsonObject()),
    st.just(JsonObject(is_compact=True, param="structured_outputs")),
    st.just(JsonSchema(SCHEMA, is_compact=True, param="structured_outputs")),
    st.builds(JsonSchema, st.just(SCHEMA), st.booleans()),
    st.just(Regex("[a-z]+")),
    st.just(Choice(("yes", "no"))),
    st.just(LarkGrammar('start: "a"')),
)
GIVEN = st.fixed_dictionaries(
    {},
    optional={
        "temperature": st.floats(0, 2),
        "top_p": st.floats(0.1, 1),
        "top_k": st.one_of(st.none(), st.integers(1, 2**31 - 1)),
        "min_p": st.floats(0, 1),
        "presence_penalty": st.floats(-2, 2),
        "frequency_penalty": st.floats(-2, 2),
        "repetition_penalty": st.floats(0.1, 2),
    },
)
# What does not go together with a structure.
FREE_WISHES = st.builds(
    SamplingWish,
    GIVEN,
    allowed_token_ids=st.one_of(st.none(), st.just((5, 7))),
    bad_words=st.sampled_from([(), ("no", "nor")]),
    min_tokens=st.integers(0, 1),
    seed=st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1)),
)
BOUND_WISHES = st.builds(SamplingWish, GIVEN, logit_bias=st.sampled_from([(), ((3, -1.5),)]))
ENDINGS = st.builds(
    Ending,
    st.sampled_from([(), ("END",), ("a", "b")]),
    st.sampled_from([(), (7,)]),
    keeps_stop=st.booleans(),
)
MESSAGES = st.one_of(
    st.builds(Message, st.sampled_from(["system", "user", "developer"]), TEXTS),
    st.builds(Message, st.just("user"), TEXTS, TEXTS),
    st.builds(Message, st.just("assistant"), TEXTS, reasoning=st.one_of(st.none(), TEXTS)),
    st.builds(Message, st.just("tool"), TEXTS, tool_call_id=st.just("c1")),
    st.builds(
        Message,
        st.just("assistant"),
        st.one_of(st.none(), TEXTS),
        tool_calls=st.just((ToolCall("f", '{"a": 1 }', "c1"), ToolCall("g", "", None))),
    ),
)
TURNS = st.lists(MESSAGES, min_size=1, max_size=4).map(tuple)
CONVERSATIONS = st.one_of(
    st.builds(
        Conversation,
        TURNS,
        st.sampled_from([(), TOOLS]),
        st.booleans(),
        template_kwargs=st.sampled_from([{}, {"enable_thinking": True, "x": [1]}]),
    ),
    st.builds(
        Conversation,
        TURNS,
        add_generation_prompt=st.just(False),
        continue_final_message=st.just(True),
    ),
)
CHOICES_OF_TOOLS = st.one_of(
    st.builds(
        ToolChoice,
        st.sampled_from([ToolMode.AUTO, ToolMode.NONE, ToolMode.REQUIRED]),
        is_parallel=st.booleans(),
    ),
    st.builds(ToolChoice, st.just(ToolMode.NAMED), st.just("g"), st.booleans()),
)
THINKING = st.builds(
    Thinking, st.one_of(st.none(), st.sampled_from(Effort)), st.one_of(st.none(), st.integers(0, 9))
)
SHARED: dict[str, st.SearchStrategy[Any]] = {
    "ending": ENDINGS,
    "view": st.builds(View, shows_control=st.booleans()),
    "max_tokens": st.integers(1, 99),
    "priority": st.integers(-9, 9),
    "cache_salt": st.one_of(st.none(), TEXTS),
}


@st.composite
def chats(draw: st.DrawFn) -> GenerationRequest:
    conversation = draw(CONVERSATIONS)
    choice = draw(CHOICES_OF_TOOLS) if conversation.tools else ToolChoice()
    return draw(_requests(conversation, {"tool_choice": choice, "thinking": draw(THINKING)}))


@st.composite
def plain_prompts(draw: st.DrawFn) -> GenerationRequest:
    prompt = draw(st.one_of(TEXTS, st.lists(IDS, min_size=1, max_size=4).map(tuple)))
    return draw(_requests(prompt, {"suffix": draw(st.one_of(st.none(), TEXTS))}))


@st.composite
def _requests(draw: st.DrawFn, prompt: Any, own: dict[str, Any]) -> GenerationRequest:
    structure = draw(st.one_of(st.none(), STRUCTURES))
    sampling = draw(FREE_WISHES if structure is None else BOUND_WISHES)
    shared = {name: draw(strategy) for name, strategy in SHARED.items()}
    return GenerationRequest("r", prompt, structure=structure, sampling=sampling, **(shared | own))
