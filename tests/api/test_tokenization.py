"""Text to ids and back, as clients of vLLM and of llama-server ask for it."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from api.schemas.tokenization import MAX_TEXT_CHARACTERS, MAX_TOKENS, read_tokenize
from api.schemas.validation import UnknownFields
from backends.scripted import END_ID, ByteTokenizer, ScriptedBackend, byte_vocabulary
from serving.fair_threads import FairThreads
from serving.tokenization import Tokenization
from tests.api.served import HELLO, Served, error_of, served

TEXT = "Grüße<|im_end|>"
IDS = [*"Grüße".encode(), END_ID]
LAST_ID = len(byte_vocabulary()) - 1
TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}


def backend() -> ScriptedBackend:
    return ScriptedBackend(lambda _: [END_ID])


async def post(app: Served, path: str, **body: Any) -> dict[str, Any]:
    response = await app.client.post(path, json=body)
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


async def test_a_text_has_ids_and_ids_have_a_text() -> None:
    async with served(backend()) as app:
        found = await post(app, "/tokenize", model="jarvis-tiny", prompt=TEXT)
        assert found == {"count": 8, "max_model_len": 4096, "tokens": IDS, "token_strs": None}
        told = await post(app, "/detokenize", model="jarvis-tiny", tokens=IDS)
        assert told == {"prompt": TEXT, "content": TEXT}
        assert (await post(app, "/tokenize", prompt=""))["tokens"] == []
        assert (await post(app, "/detokenize", tokens=[]))["prompt"] == ""


async def test_each_tokens_text_is_shown_on_demand() -> None:
    async with served(backend()) as app:
        vllm = await post(app, "/tokenize", prompt="ü!", return_token_strs=True)
        llama = await post(app, "/tokenize", content="ü!", with_pieces=True)
        broken = await post(app, "/detokenize", tokens=[0xC3, 33])
    assert vllm["token_strs"] == ["\ufffd", "\ufffd", "!"]
    assert llama["tokens"] == [
        {"id": 0xC3, "piece": [0xC3]},
        {"id": 0xBC, "piece": [0xBC]},
        {"id": 33, "piece": "!"},
    ]
    assert broken["prompt"] == "\ufffd!"


async def test_spelled_control_tokens_are_such_unless_that_is_not_wanted() -> None:
    async with served(backend()) as app:
        assert (await post(app, "/tokenize", content=TEXT))["tokens"] == IDS
        plain = await post(app, "/tokenize", content=TEXT, parse_special=False)
    assert plain["tokens"] == [*TEXT.encode()]


async def test_a_conversation_has_the_ids_that_it_is_answered_from() -> None:
    """Its tools are a part of the prompt."""
    async with served(backend()) as app:
        for fields in ({}, {"tools": [TOOL]}, {"add_generation_prompt": False}):
            found = await post(app, "/tokenize", messages=HELLO, **fields)
            await app.chat(**fields)
            assert found["tokens"] == list(app.backend.requests[-1].prompt_ids)
            rendered = await post(app, "/apply-template", messages=HELLO, **fields)
            assert (await post(app, "/detokenize", tokens=found["tokens"])) == {
                "prompt": rendered["prompt"],
                "content": rendered["prompt"],
            }
        shown = await post(app, "/tokenize", messages=HELLO, return_token_strs=True)
        assert "".join(shown["token_strs"]).startswith("<|im_start|>user\nhi")
        open_end = [*HELLO, {"role": "assistant", "content": "I"}]
        continued = await post(
            app, "/apply-template", messages=open_end, continue_final_message=True
        )
        assert continued["prompt"].endswith("\nI")


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("/tokenize", {}, "prompt"),
        ("/tokenize", {"prompt": "a", "content": "a"}, "prompt"),
        ("/tokenize", {"prompt": 5}, "prompt"),
        ("/tokenize", {"prompt": "a", "colour": 1}, "colour"),
        ("/tokenize", {"prompt": "a" * (MAX_TEXT_CHARACTERS + 1)}, "prompt"),
        ("/tokenize", {"prompt": "a", "messages": HELLO}, "prompt"),
        ("/tokenize", {"messages": HELLO, "add_special_tokens": 1}, "add_special_tokens"),
        ("/tokenize", {"messages": HELLO, "chat_template": "{{ 1 }}"}, "chat_template"),
        ("/tokenize", {"messages": []}, "messages"),
        (
            "/tokenize",
            {"content": "a", "add_special": True, "add_special_tokens": True},
            "add_special",
        ),
        ("/detokenize", {}, "tokens"),
        ("/detokenize", {"tokens": [-1]}, "tokens"),
        ("/detokenize", {"tokens": [LAST_ID, LAST_ID + 1]}, "tokens"),
        ("/detokenize", {"tokens": [2**80]}, "tokens"),
        ("/detokenize", {"tokens": [True]}, "tokens"),
        ("/detokenize", {"tokens": [0] * (MAX_TOKENS + 1)}, "tokens"),
        ("/apply-template", {}, "messages"),
    ],
)
async def test_what_is_wrong_is_named(path: str, body: dict[str, Any], param: str) -> None:
    async with served(backend()) as app:
        response = await app.client.post(path, json=body)
    assert response.status_code == 400
    assert error_of(response)["param"] == param


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/tokenize", {"prompt": "a"}),
        ("/tokenize", {"messages": HELLO}),
        ("/detokenize", {"tokens": [1]}),
        ("/apply-template", {"messages": HELLO}),
    ],
)
async def test_only_the_model_that_is_served_is_asked(path: str, body: dict[str, Any]) -> None:
    async with served(backend()) as app:
        response = await app.client.post(path, json=body | {"model": "other"})
    assert response.status_code == 404


async def test_the_server_goes_on_while_a_long_text_is_encoded() -> None:
    async with served(backend()) as app:
        async with asyncio.timeout(4):
            text = "a" * 20_000
            found, health = await asyncio.gather(
                post(app, "/tokenize", prompt=text, return_token_strs=True),
                app.client.get("/health"),
            )
        assert found["count"] == 20_000
        assert health.status_code == 200
        told = await post(app, "/detokenize", tokens=found["tokens"])
    assert told["prompt"] == text


async def test_begin_of_text_is_put_once_and_where_it_is_wanted() -> None:
    vocabulary = replace(byte_vocabulary(), bos_id=LAST_ID, add_bos=True)
    scripted = backend()
    await scripted.start(lambda _: None)
    card = replace(scripted.card, vocabulary=vocabulary)
    tokenization = Tokenization(card, ByteTokenizer(), FairThreads("test", 1))
    begin = vocabulary.spelling(LAST_ID)
    assert await tokenization.encode("a", adds_special=True) == (LAST_ID, 97)
    assert await tokenization.encode(begin + "a", adds_special=True) == (LAST_ID, 97)
    assert await tokenization.encode("a", adds_special=False) == (97,)
    assert await tokenization.encode("", adds_special=True) == (LAST_ID,)


def test_vllms_clients_get_begin_of_text_by_default_and_llama_servers_do_not() -> None:
    for body, adds_special in (
        ({"prompt": "a"}, True),
        ({"prompt": "a", "add_special_tokens": False}, False),
        ({"content": "a"}, False),
        ({"content": "a", "add_special": True}, True),
    ):
        request = read_tokenize(body, UnknownFields(are_refused=True))
        assert request.adds_special is adds_special
