"""Scripts for the scripted backend."""

import itertools
from collections.abc import Iterator

from backends.base import TokenRequest
from backends.scripted import ScriptedBackend


def counting(request: TokenRequest) -> Iterator[int]:
    """Letters that depend on the prompt, without end."""
    start = sum(request.prompt_ids)
    return (97 + (start + step) % 26 for step in itertools.count())


class Memory:
    """Remembers whole prompts, each under its salt."""

    def __init__(self) -> None:
        self._seen: set[tuple[str | None, tuple[int, ...]]] = set()

    def count_cached(self, request: TokenRequest) -> int:
        prompt = (request.cache_salt, request.prompt_ids)
        is_known = prompt in self._seen
        self._seen.add(prompt)
        return len(request.prompt_ids) - 1 if is_known else 0


def scripted_backend() -> ScriptedBackend:
    return ScriptedBackend(counting, count_cached=Memory().count_cached)
