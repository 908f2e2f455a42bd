"""Owns the kinds of load: which client sends what. Knows no server and no model."""

import random
from dataclasses import dataclass, replace
from typing import Protocol

from benchmarks.client.plan import Ask, ClientPlan
from benchmarks.prompts import words

COMPLETIONS, CHAT = "/v1/completions", "/v1/chat/completions"
_MANY = 40


class Load(Protocol):
    """What clients send in one round. `seed` differs from round to round."""

    @property
    def path(self) -> str: ...

    @property
    def num_clients(self) -> int: ...

    @property
    def tokens_per_client(self) -> int:
        """An upper bound for a prompt and its answer, in tokens."""
        ...

    def plans(self, seed: str) -> list[ClientPlan]: ...

    def scaled(self, share: float) -> "Load":
        """With so many times the requests, where a load is made of any number."""
        ...


@dataclass(frozen=True, slots=True)
class Prompts:
    """Each client sends `requests` prompts: `shared` words that all have, and `words` own ones.

    With `is_uneven`, answers have half to one and a half times the `tokens`, so that clients whose
    tokens come at the same pace don't stay in step.
    """

    num_clients: int
    words: int = 64
    shared: int = 0
    tokens: int = 64
    requests: int = 1
    path: str = COMPLETIONS
    is_uneven: bool = False

    @property
    def tokens_per_client(self) -> int:
        return _room(self.shared + self.words) + (
            self.tokens * 3 // 2 if self.is_uneven else self.tokens
        )

    def plans(self, seed: str) -> list[ClientPlan]:
        shared = f"{words(self.shared, seed, 'shared')} " if self.shared else ""

        def ask(client: int, number: int) -> Ask:
            own = words(self.words, seed, client, number)
            return Ask({"prompt": shared + own, "max_tokens": self._length(client, number)})

        return [
            ClientPlan([ask(client, number) for number in range(self.requests)])
            for client in range(self.num_clients)
        ]

    def scaled(self, share: float) -> "Prompts":
        return replace(self, requests=max(1, round(self.requests * share)))

    def _length(self, client: int, number: int) -> int:
        """The same in every round, so that all rounds are as long."""
        if not self.is_uneven:
            return self.tokens
        generator = random.Random(f"{client}/{number}")
        return generator.randint(self.tokens // 2, self.tokens * 3 // 2)


@dataclass(frozen=True, slots=True)
class LongAmongRunning:
    """`running` streams go on, and a prompt of `words` arrives once each is well under way."""

    running: int
    words: int
    tokens: int = 16
    running_tokens: int = 256
    after_events: int = 16
    path: str = COMPLETIONS

    @property
    def num_clients(self) -> int:
        return self.running + 1

    @property
    def tokens_per_client(self) -> int:
        return _room(self.words) + self.tokens

    def plans(self, seed: str) -> list[ClientPlan]:
        def background(client: int) -> ClientPlan:
            asks = [
                Ask({"prompt": words(64, seed, client, n), "max_tokens": self.running_tokens})
                for n in range(_MANY)
            ]
            return ClientPlan(asks, is_background=True)

        long = Ask({"prompt": words(self.words, seed, "long"), "max_tokens": self.tokens})
        late = ClientPlan([long], after_events=self.after_events)
        return [*(background(client) for client in range(self.running)), late]

    def scaled(self, share: float) -> "LongAmongRunning":
        return self


@dataclass(frozen=True, slots=True)
class Chats:
    """Conversations: each turn sends the whole talk so far, the model's own answers included."""

    num_clients: int
    turns: int
    words: int
    tokens: int = 64
    path: str = CHAT

    @property
    def tokens_per_client(self) -> int:
        # A random answer's tokens may be more when they are read as text again.
        return self.turns * (_room(self.words) + 3 * self.tokens)

    def plans(self, seed: str) -> list[ClientPlan]:
        def turn(client: int, number: int) -> Ask:
            said = words(self.words, seed, client, number)
            return Ask({"max_tokens": self.tokens}, user=said)

        return [
            ClientPlan([turn(client, number) for number in range(self.turns)])
            for client in range(self.num_clients)
        ]

    def scaled(self, share: float) -> "Chats":
        return self


def _room(num_words: int) -> int:
    """Tokens that so many words may take, whatever the vocabulary."""
    return num_words * 4 // 3 + 64
