"""Plain completions, models and errors are of the client library's types too, strictly."""

from typing import Any

import pytest
from openai.types import Completion, Model
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.shared import ErrorObject

from backends.scripted import END_ID, ScriptedBackend
from tests.api.served import served
from tests.api.streams import chunks_of
from tests.api.wire_types import assert_typed

# What vLLM and llama-server tell of a model beside OpenAI's fields.
OF_MODELS = frozenset({"max_model_len", "meta", "chat_format", "capabilities", "parent", "root"})


def saying(text: str) -> ScriptedBackend:
    return ScriptedBackend(lambda _: [*text.encode(), END_ID])


@pytest.mark.parametrize("fields", [{}, {"logprobs": 2}, {"n": 2}, {"echo": True}])
async def test_completions(fields: dict[str, Any]) -> None:
    async with served(saying("Grüße")) as app:
        body = {"prompt": "a"} | fields
        assert_typed(Completion, (await app.complete(**fields)).json())
        body["stream_options"] = {"include_usage": True}
        for chunk in await chunks_of(app, "/v1/completions", body):
            if chunk["choices"]:  # a chunk of usage alone has none; elsewhere an end is missing yet
                chunk = chunk | {
                    "choices": [{**each, "finish_reason": "stop"} for each in chunk["choices"]]
                }
            assert_typed(Completion, chunk)


@pytest.mark.parametrize("fields", [{}, {"logprobs": True, "top_logprobs": 2}, {"n": 2}])
async def test_chats(fields: dict[str, Any]) -> None:
    async with served(saying("Grüße")) as app:
        assert_typed(ChatCompletion, (await app.chat(**fields)).json())
        body = {"messages": [{"role": "user", "content": "a"}]} | fields
        for options in ({}, {"stream_options": {"include_usage": True}}):
            for chunk in await chunks_of(app, "/v1/chat/completions", body | options):
                assert_typed(ChatCompletionChunk, chunk)


async def test_models_and_errors() -> None:
    async with served(saying("a")) as app:
        listed = (await app.client.get("/v1/models")).json()
        assert listed["object"] == "list"
        for model in listed["data"]:
            assert_typed(Model, model, OF_MODELS)
        (model,) = listed["data"]
        assert_typed(Model, (await app.client.get(f"/v1/models/{model['id']}")).json(), OF_MODELS)
        assert model["max_model_len"] == model["meta"]["n_ctx"] == 4096
        assert model["chat_format"] == "chatml"
        for answer in (await app.chat(n=0), await app.client.get("/v1/models/none")):
            error = answer.json()["error"]
            assert_typed(ErrorObject, error | {"code": error["code"] or ""})
