"""Owns what the crowd's requests are drawn from: chance by a seed, words, schemas never seen."""

import json
import random
from collections.abc import Mapping
from typing import Any, TypeVar

from benchmarks.prompts import words

Chosen = TypeVar("Chosen")

_TYPES = ("string", "integer", "number", "boolean")


class Draw:
    """Chance for one client. The same seed draws the same requests."""

    def __init__(self, *seed: object, window: int) -> None:
        self.window = window
        self._random = random.Random("/".join(map(str, seed)))

    def text(self, least: int, most: int) -> str:
        return words(self._random.randint(least, most), self._random.random())

    def number(self, least: int, most: int) -> int:
        return self._random.randint(least, most)

    def seconds(self, least: float, most: float) -> float:
        return self._random.uniform(least, most)

    def one_of(self, *values: Any) -> Any:
        return self._random.choice(values)

    def by_weight(self, weights: Mapping[Chosen, float]) -> Chosen:
        return self._random.choices(list(weights), list(weights.values()))[0]

    def messages(self, least: int = 2, most: int = 60) -> list[dict[str, str]]:
        return [{"role": "user", "content": self.text(least, most)}]

    def schema(self) -> dict[str, Any]:
        """Of an object whose names nobody has had before; a short answer can match it."""
        names = [f"{word}_{self.number(0, 10**6)}" for word in self.text(1, 3).split()]
        return {
            "type": "object",
            "properties": {name: self._property() for name in names},
            "required": names,
            "additionalProperties": False,
        }

    def tool(self) -> dict[str, Any]:
        name = f"{self.text(1, 1)}_{self.number(0, 10**6)}"
        about = {"name": name, "description": self.text(3, 8), "parameters": self.schema()}
        return {"type": "function", "function": about}

    def _property(self) -> dict[str, Any]:
        if self.number(0, 3) == 0:
            return {"enum": self.text(2, 4).split()}
        return {"type": self.one_of(*_TYPES)}


def encoded(body: Any) -> bytes:
    return json.dumps(body).encode()
