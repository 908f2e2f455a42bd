"""instructor: models of pydantic filled by chat completions, responses and messages."""

from collections.abc import Iterator
from typing import Any

import anthropic
import instructor
import openai
import pytest
from instructor.core.exceptions import InstructorRetryException
from pydantic import BaseModel, Field

from tests.clients.questions import (
    ANNA,
    HELLO,
    I_AM,
    PORTRAIT,
    REPORT,
    TOO_LONG,
    WEATHER_IN_PARIS,
    WEATHER_TOOL,
    Person,
    get_weather,
)
from tests.clients.server import API_KEY, MODEL, Served

pytestmark = pytest.mark.engine


class WeatherCall(BaseModel):
    """Get the current weather for a city"""

    city: str = Field()


@pytest.fixture
def client(server: Served) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=server.openai_url, api_key=API_KEY, max_retries=0) as opened:
        yield opened


def asked(text: str, **fields: Any) -> Any:
    messages = [{"role": "user", "content": text}]
    return {"model": MODEL, "messages": messages, "temperature": 0, "max_retries": 0, **fields}


def test_chat(client: openai.OpenAI) -> None:
    answer = instructor.from_openai(client).create(response_model=None, **asked(HELLO))
    assert I_AM in answer.choices[0].message.content


def test_structured_output_by_a_schema(client: openai.OpenAI) -> None:
    filling = instructor.from_openai(client, mode=instructor.Mode.JSON_SCHEMA)
    filled = filling.create(response_model=Person, **asked(PORTRAIT))
    assert isinstance(filled, Person)
    assert filled.model_dump() == ANNA.model_dump()


@pytest.mark.parametrize(
    "mode",
    [instructor.Mode.TOOLS, instructor.Mode.RESPONSES_TOOLS],
    ids=["chat", "responses"],
)
def test_structured_output_by_a_tool(client: openai.OpenAI, mode: instructor.Mode) -> None:
    person = instructor.from_openai(client, mode=mode).create(
        response_model=Person, **asked(PORTRAIT)
    )
    assert person.age == ANNA.age


def test_structured_output_by_a_tool_of_anthropic_s_api(server: Served) -> None:
    with anthropic.Anthropic(base_url=server.url, api_key=API_KEY, max_retries=0) as client:
        person = instructor.from_anthropic(client).create(
            model=MODEL,
            max_tokens=100,
            messages=[{"role": "user", "content": PORTRAIT}],
            response_model=Person,
            max_retries=0,
            extra_body={"temperature": 0},
        )
    assert person.age == ANNA.age


def test_a_stream_fills_the_fields_one_after_the_other(client: openai.OpenAI) -> None:
    filling = instructor.from_openai(client, mode=instructor.Mode.JSON_SCHEMA)
    partial: list[Any] = [
        (person.name, person.age, person.city)
        for person in filling.create_partial(response_model=Person, **asked(PORTRAIT))
    ]
    assert (ANNA.name, None, None) in partial
    assert (ANNA.name, ANNA.age, None) in partial
    assert partial[-1] == (ANNA.name, ANNA.age, ANNA.city)


def test_tool_loop(client: openai.OpenAI) -> None:
    filling = instructor.from_openai(client)
    fields = asked(WEATHER_IN_PARIS)
    wanted, completion = filling.create_with_completion(response_model=WeatherCall, **fields)
    message = completion.choices[0].message
    asks = message.model_dump()
    told = {
        "role": "tool",
        "tool_call_id": message.tool_calls[0].id,
        "content": get_weather(wanted.city),
    }
    fields["messages"] += [asks, told]
    answer = filling.create(response_model=None, tools=[WEATHER_TOOL], **fields)
    assert answer.choices[0].message.content == REPORT


def test_a_prompt_that_is_too_long_is_instructor_s_own_error(client: openai.OpenAI) -> None:
    with pytest.raises(InstructorRetryException, match="context window") as caught:
        instructor.from_openai(client).create(response_model=Person, **asked(TOO_LONG))
    assert isinstance(caught.value.__cause__, Exception)
