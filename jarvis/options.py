"""Owns what a call may ask for besides its prompt, by the names that OpenAI and vLLM have for it,
and how it becomes a request. None always means the default.
"""

import uuid
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Literal, TypedDict

from core.errors import InvalidValue
from core.requests import Ending, GenerationRequest, Prompt, SamplingWish
from core.sampling import LARGEST_BIAS, SEED_LIMIT
from core.sampling_defaults import FIELDS, sampling_value
from core.structures import Choice, JsonObject, JsonSchema, LarkGrammar, Regex, Structure
from core.thinking import Effort, Thinking
from core.tool_choice import ToolChoice

EffortName = Literal["none", "minimal", "low", "medium", "high", "xhigh"]
# Servers end plain completions after 16 tokens where nothing is said; here all say the same.
DEFAULT_MAX_TOKENS = 256
_LARGEST_COUNT = 2**31 - 1


class Options(TypedDict, total=False):
    """Of every call. `json_schema`, `json_object`, `regex`, `choice` and `grammar` (Lark or GBNF)
    hold the text to a structure: one of them at most.
    """

    max_tokens: int | None
    temperature: float | None
    top_p: float | None
    top_k: int | None
    min_p: float | None
    repetition_penalty: float | None
    presence_penalty: float | None
    frequency_penalty: float | None
    seed: int | None
    stop: str | Sequence[str] | None
    min_tokens: int | None
    logit_bias: Mapping[int, float] | None
    json_schema: Mapping[str, Any] | None
    json_object: bool | None
    regex: str | None
    choice: Sequence[str] | None
    grammar: str | None


class ChatOptions(Options, total=False):
    """Of calls with messages. `thinking_token_budget` is the most that is thought;
    `chat_template_kwargs` are further variables of the chat template.
    """

    parallel_tool_calls: bool | None
    reasoning_effort: EffortName | None
    thinking_token_budget: int | None
    chat_template_kwargs: Mapping[str, Any] | None


def refuse_unknown(given: Mapping[str, Any], known: type) -> None:
    """Raises TypeError, as for any call with a keyword that it does not have."""
    names = known.__annotations__ if known is Options else _chat_names()
    for name in given:
        if name not in names:
            near = get_close_matches(name, names, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise TypeError(f"there is no option {name!r}{hint}")


def request_of(
    prompt: Prompt, given: Mapping[str, Any], tool_choice: ToolChoice | None = None
) -> GenerationRequest:
    """Raises InvalidValue."""
    return GenerationRequest(
        id=uuid.uuid4().hex,
        prompt=prompt,
        sampling=_sampling(given),
        ending=Ending(stop=_stop(given.get("stop"))),
        structure=_structure(given),
        tool_choice=tool_choice or ToolChoice(),
        thinking=_thinking(given),
        max_tokens=_whole(given, "max_tokens", 1, _LARGEST_COUNT),
    )


def _chat_names() -> frozenset[str]:
    return ChatOptions.__optional_keys__


def _sampling(given: Mapping[str, Any]) -> SamplingWish:
    return SamplingWish(
        given={name: _drawn(name, given[name]) for name in FIELDS if given.get(name) is not None},
        logit_bias=_bias(given.get("logit_bias")),
        min_tokens=_whole(given, "min_tokens", 0, _LARGEST_COUNT) or 0,
        seed=_whole(given, "seed", -SEED_LIMIT, SEED_LIMIT - 1),
    )


def _drawn(name: str, value: object) -> float | int | None:
    try:
        return sampling_value(name, value)
    except (ValueError, OverflowError) as error:
        raise InvalidValue(f"{name} is {value!r}: {error}", param=name) from None


def _whole(given: Mapping[str, Any], name: str, least: int, most: int) -> int | None:
    value = given.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise InvalidValue(
            f"{name} is {value!r}; allowed is a whole number from {least} to {most}", param=name
        )
    return value


def _texts(name: str, value: object) -> tuple[str, ...]:
    found = value if isinstance(value, list | tuple) else ()
    if not found or not all(isinstance(each, str) and each for each in found):
        raise InvalidValue(f"{name} is {value!r}; allowed are strings, none empty", param=name)
    return tuple(found)


def _stop(value: object) -> tuple[str, ...]:
    if value is None or value in ([], ()):
        return ()
    return _texts("stop", [value] if isinstance(value, str) else value)


def _bias(value: object) -> tuple[tuple[int, float], ...]:
    if value is None:
        return ()
    if not isinstance(value, Mapping) or not all(map(_is_bias, value.items())):
        raise InvalidValue(
            f"logit_bias is {value!r}; allowed is a dict of token ids, each with a number from"
            f" -{LARGEST_BIAS:g} to {LARGEST_BIAS:g}",
            param="logit_bias",
        )
    return tuple(sorted((token_id, float(bias)) for token_id, bias in value.items()))


def _is_bias(pair: tuple[object, object]) -> bool:
    token_id, bias = pair
    is_number = isinstance(bias, int | float) and not isinstance(bias, bool)
    is_inside = is_number and -LARGEST_BIAS <= bias <= LARGEST_BIAS  # type: ignore[operator]
    return type(token_id) is int and token_id >= 0 and is_inside


def _structure(given: Mapping[str, Any]) -> Structure | None:
    asked = [name for name in _STRUCTURES if given.get(name) not in (None, False)]
    if len(asked) > 1:
        raise InvalidValue(
            f"{' and '.join(asked)} are both given: give one of them", param=asked[1]
        )
    return _STRUCTURES[asked[0]](given[asked[0]]) if asked else None


def _schema(value: object) -> Structure:
    if not isinstance(value, Mapping):
        raise InvalidValue(
            f"json_schema is {value!r}; allowed is a JSON Schema as a dict", param="json_schema"
        )
    return JsonSchema(dict(value), param="json_schema")


def _object(value: object) -> Structure:
    if value is not True:
        raise InvalidValue(f"json_object is {value!r}; allowed is a bool", param="json_object")
    return JsonObject(param="json_object")


def _written(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise InvalidValue(f"{name} is {value!r}; allowed is a string", param=name)
    return value


_STRUCTURES: Mapping[str, Callable[[object], Structure]] = {
    "json_schema": _schema,
    "json_object": _object,
    "regex": lambda value: Regex(_written("regex", value), param="regex"),
    "choice": lambda value: Choice(_texts("choice", value), param="choice"),
    "grammar": lambda value: LarkGrammar(_written("grammar", value), param="grammar"),
}


def _thinking(given: Mapping[str, Any]) -> Thinking:
    effort = given.get("reasoning_effort")
    if effort is not None and effort not in tuple(Effort):
        raise InvalidValue(
            f"reasoning_effort is {effort!r}; allowed are {', '.join(Effort)}",
            param="reasoning_effort",
        )
    budget = _whole(given, "thinking_token_budget", 0, _LARGEST_COUNT)
    return Thinking(None if effort is None else Effort(effort), budget)
