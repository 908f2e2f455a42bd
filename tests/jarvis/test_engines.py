"""What every engine of the library does, whichever engine is below and however it is called."""

import asyncio
import json

import pytest

from core.errors import InvalidValue, RequestError, UnsupportedField
from core.events import TextDelta, ToolCallDelta, ToolCallStarted
from jarvis import FinishReason
from tests.jarvis.callers import GET_WEATHER
from tests.jarvis.conftest import Library

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.engine]

GREETING = "Hello! I am Jarvis, a tiny language model. How can I help you? 🙂"
WEATHER = "What is the weather in Paris?"


async def test_a_prompt_goes_on_as_it_stands(library: Library) -> None:
    answer = await library.caller.generate("Hello", max_tokens=8, temperature=0)
    assert answer.text == "! I am Jarvis, a tiny language"
    assert answer.finish_reason is FinishReason.LENGTH
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (1, 8)
    assert answer.usage.total_tokens == 9


async def test_messages_are_answered(library: Library) -> None:
    of_text = await library.caller.chat("Hello", temperature=0)
    of_list = await library.caller.chat([{"role": "user", "content": "Hello"}], temperature=0)
    for answer in (of_text, of_list):
        assert (answer.text, answer.reasoning, answer.tool_calls) == (GREETING, "", ())
        assert answer.finish_reason == "stop"
        assert answer.message == {"role": "assistant", "content": GREETING}


async def test_a_stream_says_what_the_whole_answer_says(library: Library) -> None:
    whole = await library.caller.generate("Once upon", max_tokens=40, temperature=0)
    parts, result = await library.caller.stream("Once upon", max_tokens=40, temperature=0)
    assert all(parts)
    assert "".join(parts) == whole.text == result.text
    assert (result.finish_reason, result.stop) == (whole.finish_reason, whole.stop)
    assert result.usage.completion_tokens == whole.usage.completion_tokens == 40


async def test_a_chat_stream_gives_text_in_parts(library: Library) -> None:
    parts, result = await library.caller.chat_stream("Hello", temperature=0)
    assert {type(part) for part in parts} == {TextDelta}
    assert "".join(part.text for part in parts if isinstance(part, TextDelta)) == GREETING
    assert result.text == GREETING


async def test_a_tool_is_called_by_name_with_arguments(library: Library) -> None:
    answer = await library.caller.with_tools(WEATHER, [GET_WEATHER], temperature=0)
    assert answer.tool_call is not None
    assert (answer.tool_call.name, answer.tool_call.arguments) == ("get_weather", {"city": "Paris"})
    assert (answer.text, answer.finish_reason) == ("", FinishReason.TOOL_CALLS)
    assert answer.tool_call.id.startswith("call_")


async def test_a_call_streams_name_first(library: Library) -> None:
    parts, result = await library.caller.chat_stream(WEATHER, [GET_WEATHER], temperature=0)
    assert isinstance(parts[0], ToolCallStarted)
    assert parts[0].name == "get_weather"
    written = "".join(part.arguments for part in parts if isinstance(part, ToolCallDelta))
    assert result.tool_call is not None
    assert json.loads(written) == result.tool_call.arguments == {"city": "Paris"}


async def test_a_call_and_its_result_go_back_as_messages(library: Library) -> None:
    asked = {"role": "user", "content": WEATHER}
    first = await library.caller.chat([asked], [GET_WEATHER], temperature=0)
    assert first.tool_call is not None
    told = {"role": "tool", "tool_call_id": first.tool_call.id, "content": '{"celsius": 21}'}
    second = await library.caller.chat([asked, first.message, told], [GET_WEATHER], temperature=0)
    assert second.text
    assert second.tool_call is None


async def test_a_format_without_tools_gets_them_explained(without_tool_words: Library) -> None:
    caller = without_tool_words.caller
    answer = await caller.with_tools(
        WEATHER, [GET_WEATHER], "get_weather", temperature=0, max_tokens=200
    )
    assert answer.tool_call is not None
    assert answer.tool_call.name == "get_weather"
    assert list(answer.tool_call.arguments) == ["city"]


async def test_tools_may_be_left_alone(library: Library) -> None:
    answer = await library.caller.with_tools("Hello", [GET_WEATHER], "none", temperature=0)
    assert (answer.text, answer.tool_call) == (GREETING, None)


async def test_a_schema_holds_the_text(library: Library) -> None:
    schema = {
        "type": "object",
        "properties": {"age": {"type": "integer"}},
        "required": ["age"],
        "additionalProperties": False,
    }
    answer = await library.caller.chat("Hello", temperature=0, json_schema=schema, max_tokens=60)
    assert isinstance(json.loads(answer.text)["age"], int)
    text = (await library.caller.generate("Yes or no?", choice=["yes", "no"])).text
    assert text in ("yes", "no")


async def test_a_stop_string_ends_the_answer(library: Library) -> None:
    answer = await library.caller.chat("Hello", temperature=0, stop="tiny")
    assert answer.text == "Hello! I am Jarvis, a "
    assert answer.finish_reason == "stop"


async def test_the_same_answers_come_of_every_engine(by_ways: dict[str, Library]) -> None:
    prompts = ("Once upon a time", "The weather", "2 + 2 =")
    options = ({"temperature": 0}, {"temperature": 1, "seed": 7})
    for prompt in prompts:
        for option in options:
            calls = [
                library.caller.generate(prompt, max_tokens=24, **option)
                for library in by_ways.values()
            ]
            assert len({answer.text for answer in await asyncio.gather(*calls)}) == 1


async def test_calls_run_together(library: Library) -> None:
    calls = [library.caller.chat("Hello", temperature=0) for _ in range(8)]
    assert {answer.text for answer in await asyncio.gather(*calls)} == {GREETING}


async def test_an_answer_that_is_left_midway_is_aborted(library: Library) -> None:
    begun = library.backend.num_begun
    assert await library.caller.leave_midway("Once upon", max_tokens=3000, temperature=1, seed=1)
    await library.backend.is_idle.wait()
    assert library.backend.num_begun == begun + 1


async def test_a_started_engine_is_available(library: Library) -> None:
    assert await library.caller.is_available()


async def test_what_does_not_fit_is_refused(library: Library) -> None:
    with pytest.raises(RequestError, match="4096"):
        await library.caller.generate("Hello", max_tokens=100_000)


async def test_what_is_wrong_is_refused_by_name(library: Library) -> None:
    with pytest.raises(InvalidValue) as refused:
        await library.caller.generate("Hello", temperature=3)
    assert refused.value.param == "temperature"
    with pytest.raises(UnsupportedField) as unsupported:
        await library.caller.chat([{"role": "user", "content": "Hello", "color": "red"}])
    assert unsupported.value.param == "messages[0].color"
    with pytest.raises(TypeError, match="did you mean temperature"):
        await library.caller.generate("Hello", temprature=0)
