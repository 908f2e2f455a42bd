"""An answer says the same whichever API tells it, in one body or as a stream."""

from typing import Any

import pytest

from parity.said import Call, Said, said_by
from parity.transcript import Reply
from tests.parity_command import made_answers as made

FORMS = (
    made.chat,
    made.chat_events,
    made.response,
    made.response_events,
    made.message,
    made.message_events,
)


@pytest.mark.parametrize("form", FORMS)
def test_text_is_the_same_in_each_form(form: Any) -> None:
    assert said_by(Reply(200, form())) == Said("", made.SAID, (), "stop", 9, 3)


@pytest.mark.parametrize("form", FORMS)
def test_calls_are_the_same_in_each_form(form: Any) -> None:
    said = said_by(Reply(200, form("get_weather")))
    assert said == Said("", "", (Call("get_weather", made.ASKED),), "tool_calls", 9, 3)
    assert said.line == f"get_weather({made.ASKED}) [tool_calls]"


def test_thoughts_are_found_in_each_form() -> None:
    chat, message = made.chat(), made.message()
    chat["choices"][0]["message"]["reasoning"] = "hm"
    message["content"].insert(0, {"type": "thinking", "thinking": "hm"})
    events = made.message_events()
    events[2]["delta"] = {"type": "thinking_delta", "thinking": "hm"}
    response = made.response()
    response["output"].insert(0, {"type": "reasoning", "content": [{"text": "hm"}]})
    delta = {"type": "response.reasoning_text.delta", "delta": "hm"}
    for body in (chat, message, events, response, [delta], [{**made.chat_events()[0]}]):
        said = said_by(Reply(200, body))
        assert said is not None
        assert said.thoughts == ("" if said.text == "Pa" else "hm")


@pytest.mark.parametrize(
    ("body", "field", "value"),
    [
        (made.chat()["choices"][0], "finish_reason", "length"),
        (made.response(), "status", "incomplete"),
        (made.message(), "stop_reason", "max_tokens"),
        (made.message(), "stop_reason", "model_context_window_exceeded"),
    ],
)
def test_an_answer_that_was_cut_off_is_one_in_each_form(
    body: dict[str, Any], field: str, value: str
) -> None:
    changed = {**body, field: value}
    said = said_by(Reply(200, {"choices": [changed]} if field == "finish_reason" else changed))
    assert said is not None
    assert said.ending == "length"


@pytest.mark.parametrize("body", [{"error": {}}, {"input_tokens": 3}, {"text": "Not Found"}])
def test_what_is_no_answer_says_nothing(body: dict[str, Any]) -> None:
    assert said_by(Reply(200, body)) is None
    assert said_by(Reply(404, made.chat())) is None
