"""Owns answers as models of each family write them, well and badly, and what they hold."""

from dataclasses import dataclass

from chat_formats.tool_calls.syntax import (
    HERMES,
    JSON_ANSWER,
    LLAMA3_JSON,
    MISTRAL_LIST,
    MISTRAL_NAMED,
    PYTHONIC,
    CallBody,
    CallSyntax,
)

NAMES = frozenset({"get_weather", "f", "search.web"})
BARE = CallSyntax("json_object", CallBody.OBJECT)
Calls = tuple[tuple[str, str], ...]
CITY = '{"city": "Zürich 🙂", "days": [1, 2.50, {"a": "}]\\""}]}'


@dataclass(frozen=True, slots=True)
class Case:
    """An answer, its text, and its calls: names with arguments as they are written."""

    syntax: CallSyntax
    answer: str
    text: str
    calls: Calls = ()


def _marked(body: str) -> str:
    return f"<tool_call>\n{body}\n</tool_call>"


WEATHER = f'{{"name": "get_weather", "arguments": {CITY}}}'
LLAMA_WEATHER = f'{{"name": "get_weather", "parameters": {CITY}}}'
ONE: Calls = (("get_weather", CITY),)

WELL_WRITTEN = (
    Case(HERMES, "Just text. ", "Just text. "),
    Case(HERMES, "", ""),
    Case(HERMES, _marked(WEATHER), "", ONE),
    Case(HERMES, f"I look.\n{_marked(WEATHER)}", "I look.", ONE),
    Case(HERMES, f"{_marked(WEATHER)}\n{_marked(WEATHER)}", "", ONE * 2),
    Case(HERMES, f"{_marked(WEATHER)}\n\nDone.", "Done.", ONE),
    Case(HERMES, _marked('{"arguments": {"a": 1}, "name": "f"}'), "", (("f", '{"a": 1}'),)),
    Case(HERMES, _marked('{"name": "f", "parameters": {}}'), "", (("f", "{}"),)),
    Case(HERMES, _marked('{"name": "f"}'), "", (("f", "{}"),)),
    Case(HERMES, _marked('{"name": "f", "arguments": null}'), "", (("f", "{}"),)),
    Case(
        HERMES,
        _marked('{"name": "f", "arguments": "{\\"a\\": \\"\\u00fc\\"}"}'),
        "",
        (("f", '{"a": "ü"}'),),
    ),
    Case(
        HERMES,
        _marked('{"type": "function", "name": "f", "id": "7", "arguments": {}}'),
        "",
        (("f", "{}"),),
    ),
    Case(
        HERMES, _marked('{ "name" : "f" , "arguments" : { "a" : 1 } }'), "", (("f", '{ "a" : 1 }'),)
    ),
    Case(HERMES, _marked('{"name": "unknown", "arguments": {}}'), "", (("unknown", "{}"),)),
    Case(LLAMA3_JSON, LLAMA_WEATHER, "", ONE),
    Case(LLAMA3_JSON, f"<|python_tag|>{LLAMA_WEATHER}", "", ONE),
    Case(LLAMA3_JSON, f" \n{LLAMA_WEATHER}; {LLAMA_WEATHER}", "", ONE * 2),
    Case(LLAMA3_JSON, f"{LLAMA_WEATHER}\nThere.", "There.", ONE),
    Case(LLAMA3_JSON, "Paris is {nice}.", "Paris is {nice}."),
    # A model of this family writes Python, whatever its template has; and the other way round.
    Case(LLAMA3_JSON, "[f(a=1), f()]", "", (("f", '{"a": 1}'), ("f", "{}"))),
    Case(LLAMA3_JSON, f"<|python_tag|>[f(a=1)]; {LLAMA_WEATHER}", "", (("f", '{"a": 1}'), *ONE)),
    Case(LLAMA3_JSON, "[see](url)", "[see](url)"),
    Case(PYTHONIC, f"<|python_start|>{LLAMA_WEATHER}<|python_end|>", "", ONE),
    Case(PYTHONIC, f"{LLAMA_WEATHER}; [f()]\nDone.", "Done.", (*ONE, ("f", "{}"))),
    Case(PYTHONIC, '{"type": "function", "name": "f", "parameters": {}}', "", (("f", "{}"),)),
    Case(
        PYTHONIC, "[f(नाम='x', e\u0301=1, ℘=2)]", "", (("f", '{"नाम": "x", "e\u0301": 1, "℘": 2}'),)
    ),
    # Text between calls, and space in and around arguments, are the model's own.
    Case(
        HERMES,
        f"a\n{_marked(WEATHER)}\nb  c\n{_marked(WEATHER)}\n",
        "a\nb  c",
        ONE * 2,
    ),
    Case(
        HERMES,
        _marked('{"name": "f", "arguments": {"a": "  x\\n ", "b": "<tool_call>"}}'),
        "",
        (("f", '{"a": "  x\\n ", "b": "<tool_call>"}'),),
    ),
    Case(
        HERMES,
        _marked('{"name": "f", "arguments": {"a": "</tool_call>"}}'),
        "",
        (("f", '{"a": "</tool_call>"}'),),
    ),
    Case(HERMES, WEATHER, WEATHER),
    Case(HERMES, f"[TOOL_CALLS] [{WEATHER}]", f"[TOOL_CALLS] [{WEATHER}]"),
    Case(HERMES, f"<tool_call>{WEATHER}<tool_call>{WEATHER}", "", ONE * 2),
    Case(
        PYTHONIC,
        "[get_weather(city='Zürich', days=2)]",
        "",
        (("get_weather", '{"city": "Zürich", "days": 2}'),),
    ),
    Case(PYTHONIC, '[f(), search.web(q="a)b")]', "", (("f", "{}"), ("search.web", '{"q": "a)b"}'))),
    Case(
        PYTHONIC,
        "<|python_start|>[f(a=[1, -2.5e3], b={'x': None, \"y\": True}, c=(1,))]<|python_end|>",
        "",
        (("f", '{"a": [1, -2.5e3], "b": {"x": null, "y": true}, "c": [1]}'),),
    ),
    Case(
        PYTHONIC,
        "[f(a='it\\'s \\u00fc \\ud83d\\ude42\\n')]",
        "",
        (("f", '{"a": "it\'s ü 🙂\\n"}'),),
    ),
    Case(PYTHONIC, "[1, 2]", "[1, 2]"),
    Case(MISTRAL_LIST, f"[TOOL_CALLS] [{WEATHER}]", "", ONE),
    Case(MISTRAL_LIST, f"[TOOL_CALLS][{WEATHER}, {WEATHER}]", "", ONE * 2),
    Case(
        MISTRAL_LIST,
        '[TOOL_CALLS][{"name": "f", "arguments": {}, "id": "abcdefghi"}]',
        "",
        (("f", "{}"),),
    ),
    Case(MISTRAL_LIST, f"Wait. [TOOL_CALLS] [{WEATHER}]", "Wait.", ONE),
    Case(MISTRAL_NAMED, f"[TOOL_CALLS]get_weather[ARGS]{CITY}", "", ONE),
    Case(
        MISTRAL_NAMED,
        f"[TOOL_CALLS]get_weather{CITY}[TOOL_CALLS]f[ARGS]{{}}",
        "",
        (*ONE, ("f", "{}")),
    ),
    Case(MISTRAL_NAMED, "[TOOL_CALLS]f[CALL_ID]abcdefghi[ARGS] {}", "", (("f", "{}"),)),
    Case(
        JSON_ANSWER, '{"response": "Gr\\u00fc\\u00dfe \\ud83d\\ude42 \\"a\\"\\n"}', 'Grüße 🙂 "a"\n'
    ),
    Case(JSON_ANSWER, f'{{"tool_calls": [{WEATHER}, {WEATHER}]}}', "", ONE * 2),
    Case(JSON_ANSWER, "free text", "free text"),
)

_UNFINISHED = '<tool_call>\n{"name": "f", "argu'
_NOT_JSON = "<tool_call>\nlook at this\n</tool_call>"
_NO_NAME = _marked('{"arguments": {"a": 1}}')
_ECHO = '{"name": "f", "description": "d", "parameters": {}}'

# What is no call stays text, to the character; what of a call was told stays told.
MALFORMED = (
    Case(HERMES, _UNFINISHED, _UNFINISHED),
    Case(HERMES, f"a {_UNFINISHED}", f"a {_UNFINISHED}"),
    Case(HERMES, _NOT_JSON, _NOT_JSON),
    Case(HERMES, f"{_NOT_JSON}\n{_marked(WEATHER)}", _NOT_JSON, ONE),
    Case(HERMES, _NO_NAME, _NO_NAME),
    Case(HERMES, "a <tool_cal", "a <tool_cal"),
    Case(HERMES, "<tool_call>", "<tool_call>"),
    Case(HERMES, "<tool_call><tool_call>", "<tool_call><tool_call>"),
    Case(HERMES, '<tool_call>{"name": "f", "arguments": {"a": [1, 2', "", (("f", '{"a": [1, 2'),)),
    Case(HERMES, '<tool_call>{"name": "f", "arguments": {"a": 1]}}', "]}}", (("f", '{"a": 1'),)),
    Case(HERMES, '<tool_call>{"name": "f", "arguments": {}}} x', "} x", (("f", "{}"),)),
    Case(HERMES, '<tool_call>{"name": "f", "arguments": {}}</tool_ca', "</tool_ca", (("f", "{}"),)),
    Case(HERMES, _marked('{"name": 7, "arguments": {}}'), _marked('{"name": 7, "arguments": {}}')),
    Case(
        HERMES, _marked('{"name": "", "arguments": {}}'), _marked('{"name": "", "arguments": {}}')
    ),
    Case(HERMES, _marked('{"name": "f", "name": "g"}'), _marked('{"name": "f", "name": "g"}')),
    Case(
        LLAMA3_JSON,
        '{"name": "unknown", "parameters": {}}',
        '{"name": "unknown", "parameters": {}}',
    ),
    Case(LLAMA3_JSON, '{"name": "f"}', '{"name": "f"}'),
    Case(LLAMA3_JSON, " <|python_ta", " <|python_ta"),
    Case(BARE, "hello", "hello"),
    Case(BARE, WEATHER, "", ONE),
    Case(BARE, f"[f(a=1)]\n{WEATHER} and", "and", (("f", '{"a": 1}'), *ONE)),
    Case(
        LLAMA3_JSON,
        '<|python_tag|>{"name": "f", "parameters": {"a": 1]}}',
        "]}}",
        (("f", '{"a": 1'),),
    ),
    Case(LLAMA3_JSON, "<|python_tag|><|python_tag|>[f()]", "<|python_tag|><|python_tag|>[f()]"),
    Case(PYTHONIC, "[f()] <|python_e", "<|python_e", (("f", "{}"),)),
    Case(LLAMA3_JSON, _ECHO, _ECHO),
    Case(LLAMA3_JSON, '{"answer": 42}', '{"answer": 42}'),
    Case(LLAMA3_JSON, f"see {LLAMA_WEATHER}", f"see {LLAMA_WEATHER}"),
    Case(LLAMA3_JSON, "<|python_tag|>print(1)", "<|python_tag|>print(1)"),
    Case(LLAMA3_JSON, f"{LLAMA_WEATHER}; or", "; or", ONE),
    Case(PYTHONIC, "[f(a=b)]", "[f(a=b)]"),
    Case(PYTHONIC, "[f(1)]", "[f(1)]"),
    Case(PYTHONIC, "[f(a=1, a=2)]", "[f(a=1, a=2)]"),
    Case(PYTHONIC, "[f(a=01)]", "[f(a=01)]"),
    Case(PYTHONIC, "[f(a=__import__('os').system('x'))]", "[f(a=__import__('os').system('x'))]"),
    Case(PYTHONIC, "[g(a=1)]", "[g(a=1)]"),
    Case(PYTHONIC, "[f(1a=1)]", "[f(1a=1)]"),
    Case(PYTHONIC, "[f(a-b=1)]", "[f(a-b=1)]"),
    Case(PYTHONIC, "[f(=1)]", "[f(=1)]"),
    Case(PYTHONIC, '{"name": "g", "parameters": {}}', '{"name": "g", "parameters": {}}'),
    Case(PYTHONIC, '{"name": "f"}', '{"name": "f"}'),
    Case(LLAMA3_JSON, "[g(a=1)]", "[g(a=1)]"),
    Case(LLAMA3_JSON, '[{"a": 1}]', '[{"a": 1}]'),
    Case(LLAMA3_JSON, f"{LLAMA_WEATHER}; [g()]", "; [g()]", ONE),
    Case(PYTHONIC, "[f(a=1), g(", ", g(", (("f", '{"a": 1}'),)),
    Case(PYTHONIC, "[f(a=1), f(b=x)] and", ", f(b=x)] and", (("f", '{"a": 1}'),)),
    Case(PYTHONIC, "[f(a='", "[f(a='"),
    Case(MISTRAL_LIST, "[TOOL_CALLS] nothing", "[TOOL_CALLS] nothing"),
    Case(MISTRAL_LIST, "[TOOL_CALLS] []", "[TOOL_CALLS] []"),
    Case(MISTRAL_LIST, f"[TOOL_CALLS] [{WEATHER}, x", ", x", ONE),
    Case(MISTRAL_LIST, '[TOOL_CALLS] [{"name": "f', '[TOOL_CALLS] [{"name": "f'),
    Case(MISTRAL_NAMED, "[TOOL_CALLS]two words{}", "[TOOL_CALLS]two words{}"),
    Case(MISTRAL_NAMED, '[TOOL_CALLS]f[ARGS]{"a": ', "", (("f", '{"a": '),)),
    Case(JSON_ANSWER, '{"response": "cut', "cut"),
    Case(JSON_ANSWER, '{"respo', '{"respo'),
    Case(JSON_ANSWER, '{"other": 1}', '{"other": 1}'),
    Case(JSON_ANSWER, '{"response": "\\ud83d!"}', "\ufffd!"),
    Case(JSON_ANSWER, '{"tool_calls": [{"name": "f", "argu', '{"tool_calls": [{"name": "f", "argu'),
    Case(JSON_ANSWER, '{"tool_calls": [5]}', '{"tool_calls": [5]}'),
)

CASES = (*WELL_WRITTEN, *MALFORMED)
