"""The model file that ships: small, float32, with the control tokens of all three formats."""

import json
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from jinja2.sandbox import ImmutableSandboxedEnvironment

from chat_formats.base import SpecialTokens
from chat_formats.chatml import ChatmlFormat
from core.messages import Conversation, Message, Tool, ToolCall
from scripts.tiny_model.rendering import CONTROLS

MODEL = Path(__file__).resolve().parents[2] / "models" / "jarvis-tiny.gguf"
MEGABYTE = 1_000_000


@pytest.fixture(scope="module")
def reader() -> Any:
    return gguf.GGUFReader(MODEL)


def _field(reader: Any, name: str) -> object:
    return reader.fields[name].contents()


def test_file_is_at_most_16_megabytes() -> None:
    assert MODEL.stat().st_size < 16 * MEGABYTE


def test_shape_is_what_the_engines_need(reader: Any) -> None:
    num_parameters = sum(int(np.prod(tensor.shape)) for tensor in reader.tensors)
    assert 3_000_000 <= num_parameters <= 10_000_000
    assert _field(reader, "general.architecture") == "llama"
    assert _field(reader, "llama.context_length") == 4096
    assert _field(reader, "llama.attention.key_length") == 64
    assert {tensor.tensor_type.name for tensor in reader.tensors} == {"F32"}


def test_weights_are_finite(reader: Any) -> None:
    assert all(np.isfinite(tensor.data).all() for tensor in reader.tensors)


def test_control_tokens_are_typed_as_such_and_nothing_else_is(reader: Any) -> None:
    tokens = _field(reader, "tokenizer.ggml.tokens")
    kinds = _field(reader, "tokenizer.ggml.token_type")
    assert isinstance(tokens, list)
    assert isinstance(kinds, list)
    typed = {token for token, kind in zip(tokens, kinds, strict=True) if kind == 3}
    assert typed == set(CONTROLS)


def test_tokenizer_is_known_to_llama_cpp(reader: Any) -> None:
    assert _field(reader, "tokenizer.ggml.model") == "gpt2"
    assert _field(reader, "tokenizer.ggml.pre") == "llama-bpe"
    assert _field(reader, "tokenizer.ggml.add_bos_token") is False


def _as_openai(message: Message) -> dict[str, object]:
    calls = [
        {"function": {"name": call.name, "arguments": json.loads(call.arguments)}}
        for call in message.tool_calls
    ]
    return {"role": message.role, "content": message.content, "tool_calls": calls}


WEATHER = Tool("get_weather", "Gets the weather.", {"type": "object", "properties": {}})
QUESTION = Message(role="user", content="Weather in São Paulo & Rome?")
CALLED = Message(
    role="assistant", tool_calls=(ToolCall("get_weather", '{"city": "São Paulo"}', id="abc"),)
)
RESULT = Message(role="tool", content="22 < 23", tool_call_id="abc")
SYSTEM = Message(role="system", content="Be kind.")


@pytest.mark.parametrize(
    "conversation",
    [
        Conversation((QUESTION,)),
        Conversation((SYSTEM, QUESTION, Message(role="assistant", content="No."), QUESTION)),
        Conversation((QUESTION,), tools=(WEATHER, WEATHER)),
        Conversation((SYSTEM, QUESTION, CALLED, RESULT, RESULT), tools=(WEATHER,)),
        Conversation((SYSTEM, QUESTION, CALLED, RESULT), add_generation_prompt=False),
    ],
)
def test_own_template_writes_what_the_named_format_writes(
    reader: Any, conversation: Conversation
) -> None:
    environment = ImmutableSandboxedEnvironment()
    environment.filters["tojson"] = lambda value: json.dumps(value, ensure_ascii=False)
    template = environment.from_string(str(_field(reader, "tokenizer.chat_template")))
    tools = [
        {
            "type": "function",
            "function": {
                "name": tool.name,
                "description": tool.description,
                "parameters": tool.parameters,
            },
        }
        for tool in conversation.tools
    ]
    rendered = template.render(
        messages=[_as_openai(message) for message in conversation.messages],
        tools=tools or None,
        add_generation_prompt=conversation.add_generation_prompt,
    )
    special = SpecialTokens(controls=frozenset(CONTROLS), eos="<|im_end|>")
    assert rendered == ChatmlFormat(special).render(conversation).text
