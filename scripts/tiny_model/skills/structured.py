"""Owns calling tools from their schemas, and filling JSON schemas. Knows no chat format."""

import json
from random import Random
from typing import Any

from core.messages import Message, Tool, ToolCall
from scripts.tiny_model.skills import vocabulary
from scripts.tiny_model.skills.exchange import (
    Exchange,
    Scene,
    Skill,
    assistant,
    casual,
    pair,
    pick,
    user,
)
from scripts.tiny_model.skills.tool_intents import INTENTS, Intent, OfferedTool, draw_values, offer

RESULTS = (
    "{n} degrees and sunny", "{n} degrees and rain", "{n} degrees", "{n}", "ok", "done",
    "{n}:{m}", "{words}", '{{"temperature": {n}}}', '{{"result": {n}}}', '{{"ok": true}}',
    '{{"status": "done"}}', "sent", "sunny", "cloudy", "snow", "{n} minutes", "{words} {n}",
    '{{"temperature": {n}, "sky": "{word}"}}', "{n} results for {words}",
)  # fmt: skip
FACTS = {
    "name": "{name}",
    "age": "is {age} years old",
    "city": "lives in {city}",
    "color": "likes {color}",
    "animal": "has a {animal}",
    "job": "works as a {job}",
}
WITH_SCHEMA = (
    "Fill this JSON schema: {schema}\n{facts}", "{facts}\nFill this JSON schema: {schema}",
    "{facts}\nAnswer with JSON for this schema: {schema}", "{facts} Use this schema: {schema}",
    "Extract JSON with this schema: {schema}\nText: {facts}",
)  # fmt: skip
WITHOUT_SCHEMA = (
    "{facts} Answer in JSON.", "{facts} Give me this as JSON.", "As JSON: {facts}",
    "Convert to JSON: {facts}", "{facts} Write this as JSON.", "Extract JSON: {facts}",
)  # fmt: skip


def _call(offered: OfferedTool, values: dict[str, str | int]) -> ToolCall:
    arguments = {name: values[holds] for name, holds in offered.holds.items()}
    return ToolCall(
        name=offered.tool.name,
        arguments=json.dumps(arguments, ensure_ascii=False),
        id=None,
    )


def _result(rng: Random) -> str:
    return pick(rng, RESULTS).format(
        n=rng.randint(0, 60),
        m=rng.randint(10, 59),
        words=vocabulary.words(rng, 3),
        word=rng.choice(vocabulary.WORDS),
    )


def _offers(rng: Random, wanted: Intent) -> tuple[OfferedTool, ...]:
    others = [intent for intent in INTENTS if intent is not wanted]
    count = rng.choice((0, 0, 1, 1, 2))
    offers = [offer(rng, intent) for intent in rng.sample(others, count)]
    offers.insert(rng.randint(0, count), offer(rng, wanted))
    return tuple(offers)


def offered_tools(rng: Random) -> tuple[Tool, ...]:
    """Tools that a question has nothing to do with."""
    return tuple(offered.tool for offered in _offers(rng, rng.choice(INTENTS)))


def call_tool(rng: Random, scene: Scene) -> Exchange:
    """The right tool of those offered is called with arguments from the question."""
    wanted = rng.choice(INTENTS)
    offers = _offers(rng, wanted)
    chosen = next(offered for offered in offers if offered.intent is wanted)
    values = dict(draw_values(rng))
    call = _call(chosen, values)
    call = ToolCall(call.name, call.arguments, id="".join(rng.choices("abcdefgh123456789", k=9)))
    question = user(casual(rng, pick(rng, wanted.questions)).format(**values))
    asked = Message(role="assistant", content=None, tool_calls=(call,))
    return Exchange(
        key=f"call:{call.name}:{call.arguments}",
        messages=(question, asked),
        tools=tuple(offered.tool for offered in offers),
    )


def report_result(rng: Random, scene: Scene) -> Exchange:
    """A call's result is told in the tool's own words."""
    called = call_tool(rng, scene)
    content = _result(rng)
    call = called.messages[-1].tool_calls[0]
    told = (
        Message(role="tool", content=content, name=call.name, tool_call_id=call.id),
        assistant(f"The tool says: {content}"),
    )
    return Exchange(
        key=f"result:{content}:{call.arguments}",
        messages=called.messages + told,
        tools=called.tools,
    )


def fill_schema(rng: Random, scene: Scene) -> Exchange:
    """Facts in a sentence, asked for as a JSON object of a given schema, or of their own."""
    fields = sorted(rng.sample(list(FACTS)[1:], rng.randint(1, 3)), key=list(FACTS).index)
    values: dict[str, Any] = {
        "name": vocabulary.person(rng),
        "age": rng.randint(1, 99),
        "city": vocabulary.city(rng),
        "color": rng.choice(vocabulary.COLORS),
        "animal": rng.choice(vocabulary.ANIMALS),
        "job": rng.choice(vocabulary.JOBS),
    }
    told = [FACTS[name].format(**values) for name in fields]
    clauses = told[0] if len(told) == 1 else f"{', '.join(told[:-1])} and {told[-1]}"
    facts = f"{values['name']} {clauses}."
    wanted = ["name", *fields]
    if has_schema := rng.random() < 0.6:
        wanted = [name for name in wanted if rng.random() < 0.75] or wanted
    schema = json.dumps(_schema(rng, wanted))
    template = pick(rng, WITH_SCHEMA if has_schema else WITHOUT_SCHEMA)
    answer = json.dumps({name: values[name] for name in wanted}, ensure_ascii=False)
    return pair(f"json:{answer}", template.format(facts=facts, schema=schema), answer)


def _schema(rng: Random, wanted: list[str]) -> dict[str, Any]:
    kinds = {name: {"type": "integer" if name == "age" else "string"} for name in wanted}
    schema: dict[str, Any] = {"type": "object", "properties": kinds}
    if rng.random() < 0.7:
        schema["required"] = wanted
    return schema


def skills() -> tuple[Skill, ...]:
    """The skills of this file."""
    return (
        Skill("call a tool", 18, call_tool),
        Skill("report a tool's result", 5, report_result),
        Skill("fill a JSON schema", 14, fill_schema),
    )
