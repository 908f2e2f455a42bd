"""pydantic-ai: agents over chat completions, the Responses API and Anthropic's."""

from collections.abc import AsyncIterator
from typing import Any

import anthropic
import openai
import pytest
from pydantic_ai import Agent, NativeOutput, ToolOutput
from pydantic_ai.exceptions import ModelHTTPError
from pydantic_ai.messages import ModelRequest, ToolReturnPart
from pydantic_ai.models import Model
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.openai import OpenAIProvider

from tests.clients.questions import (
    ANNA,
    FORECAST,
    HELLO,
    I_AM,
    INTRODUCTION,
    PORTRAIT,
    REPORT,
    STORY,
    TOO_LONG,
    WEATHER_IN_PARIS,
    WHO_AM_I,
    Person,
    get_weather,
)
from tests.clients.server import API_KEY, MODEL, Served

pytestmark = pytest.mark.engine

# Of the three APIs, this package sends a temperature to OpenAI's two alone.
GREEDY: Any = {"extra_body": {"temperature": 0}}
# What it takes for granted of Anthropic's own models.
KNOWS_SCHEMAS: Any = {"supports_json_schema_output": True}


@pytest.fixture(params=["chat", "responses", "messages"])
async def model(request: pytest.FixtureRequest, server: Served) -> AsyncIterator[Model]:
    if request.param == "messages":
        theirs = anthropic.AsyncAnthropic(base_url=server.url, api_key=API_KEY, max_retries=0)
        async with theirs:
            yield AnthropicModel(
                MODEL,
                provider=AnthropicProvider(anthropic_client=theirs),
                profile=KNOWS_SCHEMAS,
                settings=GREEDY,
            )
        return
    kind = OpenAIChatModel if request.param == "chat" else OpenAIResponsesModel
    client = openai.AsyncOpenAI(base_url=server.openai_url, api_key=API_KEY, max_retries=0)
    async with client:
        yield kind(MODEL, provider=OpenAIProvider(openai_client=client), settings=GREEDY)


async def test_chat(model: Model) -> None:
    result = await Agent(model).run(HELLO)
    assert I_AM in result.output
    assert result.usage.output_tokens > 0


async def test_a_conversation_goes_on(model: Model) -> None:
    agent = Agent(model)
    first = await agent.run(INTRODUCTION)
    second = await agent.run(WHO_AM_I, message_history=first.all_messages())
    assert "Anna" in second.output


async def test_a_stream_says_what_the_plain_answer_says(model: Model) -> None:
    agent = Agent(model)
    async with agent.run_stream(STORY) as stream:
        deltas = [delta async for delta in stream.stream_text(delta=True, debounce_by=None)]
    assert len(deltas) > 20
    assert "".join(deltas) == (await agent.run(STORY)).output


async def test_tool_loop(model: Model) -> None:
    result = await Agent(model, tools=[get_weather]).run(WEATHER_IN_PARIS)
    assert result.output == REPORT
    requests = [m for m in result.all_messages() if isinstance(m, ModelRequest)]
    returned = [p for m in requests for p in m.parts if isinstance(p, ToolReturnPart)]
    assert [part.content for part in returned] == [FORECAST]


async def test_streamed_tool_loop(model: Model) -> None:
    agent = Agent(model, tools=[get_weather])
    async with agent.run_stream(WEATHER_IN_PARIS) as stream:
        assert await stream.get_output() == REPORT


async def test_structured_output_by_a_schema(model: Model) -> None:
    agent: Any = Agent(model, output_type=NativeOutput(Person))
    assert (await agent.run(PORTRAIT)).output == ANNA


async def test_structured_output_by_a_tool(model: Model) -> None:
    agent: Any = Agent(model, output_type=ToolOutput(Person))
    assert (await agent.run(PORTRAIT)).output.age == ANNA.age


async def test_a_prompt_that_is_too_long_is_pydantic_ai_s_own_error(model: Model) -> None:
    with pytest.raises(ModelHTTPError, match="context window") as caught:
        await Agent(model).run(TOO_LONG)
    assert caught.value.status_code == 400
