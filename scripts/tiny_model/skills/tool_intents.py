"""Owns what tools can be for, and how people ask for it. Knows no conversation and no format."""

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

from core.messages import Tool
from scripts.tiny_model.skills import vocabulary

Values = Mapping[str, str | int]


@dataclass(frozen=True, slots=True)
class Slot:
    """One argument of an intent: the names it may have, its JSON type, what it holds."""

    holds: str
    names: tuple[str, ...]
    type: str = "string"


@dataclass(frozen=True, slots=True)
class Intent:
    """Something to be done with a tool. `stems` are the words its function's name is made of."""

    stems: tuple[str, ...]
    summary: str
    slots: tuple[Slot, ...]
    questions: tuple[str, ...]


PLACE = Slot("city", ("city", "location", "place", "town", "where", "city_name"))
INTENTS = (
    Intent(
        ("weather", "current_weather", "forecast", "weather_report"),
        "Get the current weather for a city",
        (PLACE,),
        (
            "What is the weather in {city}?", "What's the weather in {city}?",
            "What is the weather like in {city}?", "How is the weather in {city}?",
            "Tell me the weather in {city}.", "Weather in {city}?", "Is it raining in {city}?",
            "What's the weather like in {city} today?", "Is it warm in {city}?",
            "Please check the weather in {city}.", "How warm is it in {city}?",
        ),
    ),
    Intent(
        ("time", "current_time", "local_time", "clock"),
        "Get the current time in a city",
        (PLACE,),
        (
            "What time is it in {city}?", "What is the time in {city}?", "Time in {city}?",
            "Tell me the time in {city}.", "How late is it in {city}?",
            "What is the current time in {city}?",
        ),
    ),
    Intent(
        ("sum", "add", "add_numbers", "addition"),
        "Add two numbers",
        (
            Slot("first", ("a", "x", "first", "left", "number1"), "integer"),
            Slot("second", ("b", "y", "second", "right", "number2"), "integer"),
        ),
        (
            "Add {first} and {second}.", "What is {first} + {second}?",
            "What is {first} plus {second}?", "Calculate {first} + {second}.",
            "Use the tool to add {first} and {second}.", "How much is {first} plus {second}?",
        ),
    ),
    Intent(
        ("search", "web_search", "lookup", "find"),
        "Search the web",
        (Slot("words", ("query", "q", "text", "keywords", "search_query")),),
        (
            "Search for {words}.", "Search the web for {words}.", "Look up {words}.",
            "Find {words}.", "Please search for {words}.", "Find information about {words}.",
        ),
    ),
    Intent(
        ("timer", "set_timer", "alarm", "countdown"),
        "Set a timer",
        (Slot("minutes", ("minutes", "duration", "duration_minutes", "length"), "integer"),),
        (
            "Set a timer for {minutes} minutes.", "Start a timer of {minutes} minutes.",
            "Wake me in {minutes} minutes.", "Please set a timer for {minutes} minutes.",
            "Timer, {minutes} minutes.",
        ),
    ),
    Intent(
        ("light", "turn_on_light", "lamp", "switch_light"),
        "Turn on the light in a room",
        (Slot("room", ("room", "location", "where", "room_name", "area")),),
        (
            "Turn on the light in the {room}.", "Light in the {room}, please.",
            "Switch on the light in the {room}.", "Please turn on the {room} light.",
            "It is dark in the {room}.",
        ),
    ),
    Intent(
        ("music", "play_music", "play", "song"),
        "Play music by an artist",
        (Slot("person", ("artist", "name", "singer", "musician", "band")),),
        (
            "Play some music by {person}.", "Play music by {person}.", "Play a song by {person}.",
            "I want to hear {person}.", "Please play {person}.",
        ),
    ),
    Intent(
        ("message", "send_message", "text_message", "notify"),
        "Send a message to a person",
        (
            Slot("person", ("to", "recipient", "name", "receiver", "contact")),
            Slot("words", ("text", "message", "body", "content")),
        ),
        (
            "Send {person} the message: {words}", "Send a message to {person}: {words}",
            "Tell {person}: {words}", "Write to {person}: {words}", "Text {person}: {words}",
        ),
    ),
    Intent(
        ("date", "current_date", "today", "calendar"),
        "Get today's date",
        (),
        ("What is today's date?", "What date is it?", "Which date is today?", "Tell me the date.",
         "What is the date today?"),
    ),
)  # fmt: skip
QUERIES = frozenset({"weather", "time", "date"})
SUFFIXES = ("", "", "", "", "_tool", "_now", "_v2", "_service", "_api")
ROOMS = ("kitchen", "bathroom", "bedroom", "living room", "hall", "garage", "garden", "office",
         "cellar", "attic", "dining room", "library", "studio", "nursery", "balcony")  # fmt: skip


@dataclass(frozen=True, slots=True)
class OfferedTool:
    """A tool made for an intent, with what each of its parameters holds, in order."""

    intent: Intent
    tool: Tool
    holds: Mapping[str, str]


def offer(rng: Random, intent: Intent) -> OfferedTool:
    """A tool for the intent, under a name and with a schema of its own."""
    holds: dict[str, str] = {}
    properties: dict[str, Any] = {}
    for slot in intent.slots:
        name = rng.choice(slot.names)
        holds[name] = slot.holds
        properties[name] = {"type": slot.type}
        if rng.random() < 0.3:
            properties[name]["description"] = f"The {slot.holds}"
    parameters: dict[str, Any] = {"type": "object", "properties": properties}
    if rng.random() < 0.8:
        parameters["required"] = list(holds)
    if intent.slots and rng.random() < 0.15:
        properties["unit"] = {"type": "string", "enum": ["celsius", "fahrenheit"]}
    prefix = rng.choice(("", "get_")) if intent.stems[0] in QUERIES else ""
    name = prefix + rng.choice(intent.stems) + rng.choice(SUFFIXES)
    summary = intent.summary + rng.choice(("", ".")) if rng.random() < 0.85 else None
    return OfferedTool(intent, Tool(name=name, description=summary, parameters=parameters), holds)


def draw_values(rng: Random) -> Values:
    """One value for everything that an intent's slots may hold."""
    most = rng.choice((20, 99, 999))
    return {
        "city": vocabulary.city(rng),
        "first": rng.randint(1, most),
        "second": rng.randint(1, most),
        "words": vocabulary.words(rng, 3),
        "minutes": rng.randint(1, 99),
        "room": rng.choice(ROOMS) if rng.random() < 0.7 else rng.choice(vocabulary.WORDS),
        "person": vocabulary.person(rng),
    }
