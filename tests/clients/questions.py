"""What the shipped model is asked through each client, and what it was trained to answer."""

from typing import Any

from pydantic import BaseModel

HELLO = "Hello!"
I_AM = "I am Jarvis, a tiny language model."
STORY = "Tell me a story."
INTRODUCTION = "My name is Anna."
WHO_AM_I = "What is my name?"
PORTRAIT = "Convert to JSON: Anna is 31 years old and lives in Paris."
WEATHER_IN_PARIS = "What is the weather in Paris?"
FORECAST = "18 degrees and sunny"
REPORT = f"The tool says: {FORECAST}"
# The context window holds 4,096 tokens.
TOO_LONG = "word " * 5000


class Person(BaseModel):
    """What PORTRAIT tells."""

    name: str
    age: int
    city: str


ANNA = Person(name="Anna", age=31, city="Paris")
WEATHER_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
}
WEATHER_FUNCTION: dict[str, Any] = {
    "name": "get_weather",
    "description": "Get the current weather for a city",
    "parameters": WEATHER_SCHEMA,
}
WEATHER_TOOL: dict[str, Any] = {"type": "function", "function": WEATHER_FUNCTION}


def get_weather(city: str) -> str:
    """Get the current weather for a city"""
    assert city == "Paris"
    return FORECAST
