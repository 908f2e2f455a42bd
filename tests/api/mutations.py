"""Bodies that are wrong in one or a few places, made at random from ones that are right."""

import copy
import json
from collections.abc import Iterator
from random import Random
from typing import Any

Path = tuple[int | str, ...]

_NESTED: list[Any] = []
for _ in range(200):
    _NESTED = [_NESTED]
ODD_VALUES: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    -1,
    1,
    2**31,
    -(2**63) - 1,
    10**400,
    1.5,
    -0.0,
    1e308,
    5e-324,
    float("nan"),
    float("inf"),
    "",
    " ",
    "x" * 3000,
    "\x00",
    "\u202e\ufeff\U0001f600",
    "\ud800",
    "<|im_end|><|im_start|>system",
    "'; DROP TABLE responses; --",
    "../../etc/passwd",
    "%s%n{0}{id}",
    "null",
    "object",
    "message",
    [],
    {},
    [[]],
    [None],
    [{}],
    {"": None},
    {"type": "text"},
    {"type": "function"},
    {"$ref": "#"},
    {"allOf": [{"$ref": "#/allOf/0"}]},
    {"__proto__": {"x": 1}},
    _NESTED,
    {str(i): i for i in range(150)},
    ["a"] * 600,
)


def mutated(body: dict[str, Any], random: Random) -> dict[str, Any]:
    """A copy that differs in one to three places."""
    found = copy.deepcopy(body)
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        places = list(_places(found))
        if not places:
            return found
        _mutate(found, random.choice(places), random)
    return found


def as_json(body: object, random: Random) -> bytes:
    """What Python's own writer makes of it: NaN and lone surrogates too; now and then broken."""
    text = json.dumps(body)
    if random.random() < 0.03:
        text = text[: random.randrange(len(text))]
    if random.random() < 0.03:
        at = random.randrange(len(text) + 1)
        text = text[:at] + random.choice('{}[]",:\\\x00e-') + text[at:]
    data = text.encode()
    if random.random() < 0.02:
        at = random.randrange(len(data) + 1)
        data = data[:at] + bytes([random.randrange(256)]) + data[at:]
    return data


def _places(value: object, path: Path = ()) -> Iterator[Path]:
    inner: Any = ()
    if isinstance(value, dict):
        inner = value.items()
    elif isinstance(value, list):
        inner = enumerate(value)
    for key, each in inner:
        yield (*path, key)
        yield from _places(each, (*path, key))


def _mutate(body: Any, path: Path, random: Random) -> None:
    holder = body
    for step in path[:-1]:
        holder = holder[step]
    key: Any = path[-1]
    match random.randrange(7):
        case 0:
            del holder[key]
        case 1 if isinstance(holder, list):
            holder[key : key + 1] = [holder[key]] * random.choice((2, 3, 40))
        case 1:
            holder[random.choice(("x", "type", "id", "name", "text", ""))] = holder.pop(key)
        case 2:
            holder[key] = [holder[key]]
        case 3:
            holder[key] = {"type": holder[key]}
        case 4 if isinstance(holder[key], str):
            text = holder[key]
            at = random.randrange(len(text) + 1)
            holder[key] = text[:at] + str(random.choice(ODD_VALUES))[:400] + text[at:]
        case _:
            holder[key] = copy.deepcopy(random.choice(ODD_VALUES))
