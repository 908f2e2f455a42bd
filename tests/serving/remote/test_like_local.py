"""What another server answers is told by the same events as what a model here answers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import pytest
import pytest_asyncio

from backends.scripted import ScriptedBackend
from core.errors import UpstreamRefused
from core.events import (
    FinishReason,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
)
from core.messages import Conversation, Message, Tool, ToolCall
from core.requests import Ending, GenerationRequest, SamplingWish
from core.structures import Choice, JsonObject, JsonSchema, Regex
from core.thinking import Thinking
from core.tool_choice import ToolChoice, ToolMode
from tests.engines import ROOT, Engine
from tests.script import counting
from tests.serving.remote.beside import Beside, beside, end_of

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.engine]

THINKING_TEMPLATE = str(ROOT / "tests" / "chat_formats" / "templates" / "thinking.jinja")
GREEDY = SamplingWish({"temperature": 0.0})
TOOL = Tool(
    "get_weather",
    "The weather of a city.",
    {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    is_strict=True,
)
TALK = Conversation((Message("system", "Be short."), Message("user", "Tell me a story.")))
CALLING = replace(TALK, tools=(TOOL,))
CALLED = Conversation(
    (
        Message("user", "How is the weather in Oslo?"),
        Message("assistant", None, tool_calls=(ToolCall("get_weather", '{"city": "Oslo"}', "c"),)),
        Message("tool", "Rain.", tool_call_id="c"),
    ),
    (TOOL,),
)
OPEN = Conversation(
    (Message("user", "Count."), Message("assistant", "One, two,")),
    add_generation_prompt=False,
    continue_final_message=True,
)
SCHEMA = JsonSchema({"type": "object", "properties": {"a": {"type": "integer"}}}, is_strict=False)
FORCED = ToolChoice(ToolMode.NAMED, "get_weather")

REQUESTS: dict[str, dict[str, Any]] = {
    "text": {},
    "short": {"max_tokens": 3},
    "seeded": {"sampling": SamplingWish({"temperature": 1.0, "top_k": 20, "min_p": 0.01}, seed=7)},
    "penalties": {"sampling": replace(GREEDY, given={"temperature": 0.0, "presence_penalty": 1.5})},
    "biased": {"sampling": replace(GREEDY, logit_bias=((70, 50.0),))},
    "banned": {"sampling": replace(GREEDY, bad_words=("the", "a"), min_tokens=4)},
    "ids": {"sampling": replace(GREEDY, allowed_token_ids=(70, 71, 72, 73))},
    "stop": {"ending": Ending(stop=(" ",))},
    "kept stop": {"ending": Ending(stop=("e",), keeps_stop=True)},
    "without end": {"ending": Ending(ignores_eos=True)},
    "object": {"structure": JsonObject()},
    "schema": {"structure": SCHEMA},
    "compact": {"structure": JsonObject(is_compact=True)},
    "regex": {"structure": Regex("[a-z]{3,5}")},
    "choice": {"structure": Choice(("yes", "no"))},
    "tools": {"prompt": CALLING},
    "a forced call": {"prompt": CALLING, "tool_choice": FORCED},
    "one call": {"prompt": CALLING, "tool_choice": ToolChoice(ToolMode.REQUIRED, None, False)},
    "no call": {"prompt": CALLING, "tool_choice": ToolChoice(ToolMode.NONE)},
    "a cut call": {"prompt": CALLING, "tool_choice": FORCED, "max_tokens": 12},
    "a result": {"prompt": CALLED},
    "an open turn": {"prompt": OPEN},
    "plain": {"prompt": "Once upon a time"},
    "plain ids": {"prompt": (70, 71, 72), "ending": Ending(stop_token_ids=(75,))},
    "plain schema": {"prompt": "a = ", "structure": SCHEMA},
}


def request(**fields: Any) -> GenerationRequest:
    return GenerationRequest(
        **{"id": "r", "prompt": TALK, "sampling": GREEDY, "max_tokens": 40, **fields}
    )


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def tiny(llama: Engine) -> AsyncIterator[Beside]:
    async with beside(llama.backend, "chatml") as made:
        yield made


@pytest.mark.parametrize("name", REQUESTS)
async def test_the_events_are_those_of_a_model_here(tiny: Beside, name: str) -> None:
    here, there = await tiny.both(request(**REQUESTS[name]))
    # Which stop string it was, our own API does not say.
    assert there == [*here[:-1], replace(end_of(here), stop=end_of(there).stop)]
    assert end_of(there).num_prompt_tokens > 0


async def test_what_is_compared_calls_stops_and_ends_early(tiny: Beside) -> None:
    """The requests above are what their names say."""
    called = await tiny.there(request(**REQUESTS["a forced call"]))
    assert called[0] == ToolCallStarted(0, "call", "get_weather")
    assert isinstance(called[1], ToolCallDelta)
    assert end_of(called).finish_reason is FinishReason.TOOL_CALLS
    short = await tiny.there(request(**REQUESTS["short"]))
    assert end_of(short) == replace(
        end_of(short), finish_reason=FinishReason.LENGTH, num_completion_tokens=3
    )
    stopped = await tiny.there(request(**REQUESTS["stop"]))
    assert end_of(stopped).finish_reason is FinishReason.STOP


async def test_tokens_that_were_reused_are_counted(tiny: Beside) -> None:
    wanted = request(cache_salt="reused", max_tokens=2)
    first, second = await tiny.there(wanted), await tiny.there(wanted)
    assert end_of(first).num_cached_tokens == 0
    assert end_of(second).num_cached_tokens > 0


async def test_a_refusal_of_the_server_is_told(tiny: Beside) -> None:
    with pytest.raises(UpstreamRefused, match="context window") as refused:
        await tiny.there(request(max_tokens=1_000_000))
    assert (refused.value.upstream, refused.value.status) == ("far", 400)
    assert b"context_length_exceeded" in refused.value.body


async def test_closing_the_events_ends_the_request_at_the_server() -> None:
    """The engine waits for ever before its third token: only what is aborted ends."""
    num_steps = 0

    def gate() -> asyncio.Future[None]:
        nonlocal num_steps
        num_steps += 1
        step: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if num_steps < 3:
            step.set_result(None)
        return step

    backend = ScriptedBackend(counting, gate=gate)
    await backend.start(lambda _: None)
    async with beside(backend, "chatml") as made:
        answer = made.answers.prepare(request(), made.target, lambda _: None)
        async with aclosing(answer.events()) as events:
            assert isinstance(await anext(events), TextDelta)
            assert backend.num_live == 1
        while backend.num_live:
            await asyncio.sleep(0)


@pytest.mark.parametrize("budget", [None, 0, 2])
async def test_thoughts_are_told_as_thoughts(llama: Engine, budget: int | None) -> None:
    """The template opens a block of thoughts, which the model has never learned to close."""
    async with beside(llama.backend, THINKING_TEMPLATE) as made:
        here, there = await made.both(request(thinking=Thinking(budget=budget)))
    assert there == here
    thought = "".join(each.text for each in there if isinstance(each, ReasoningDelta))
    assert bool(thought) is (budget != 0)
    assert end_of(there).num_reasoning_tokens == end_of(here).num_reasoning_tokens


async def test_a_scripted_answer_is_told_alike(scripted: Engine) -> None:
    async with beside(scripted.backend, "chatml") as made:
        here, there = await made.both(request(sampling=SamplingWish()))
    assert there == here
    assert end_of(there).num_completion_tokens == 40
