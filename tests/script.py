"""Scripts for the scripted backend."""

import itertools
from collections.abc import Iterator

from backends.base import TokenRequest
from backends.scripted import ScriptedBackend


def counting(request: TokenRequest) -> Iterator[int]:
    """Letters that depend on the prompt, without end."""
    start = sum(request.prompt_ids)
    return (97 + (start + step) % 26 for step in itertools.count())


def scripted_backend() -> ScriptedBackend:
    return ScriptedBackend(counting)
