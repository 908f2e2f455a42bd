"""Owns the scores of one choice as they are shown: in parts with a stream's text, or whole."""

from collections.abc import Sequence
from typing import Any, Protocol

from api.logprobs import CompletionLogprobs, chat_logprobs, joined, prompt_logprobs
from api.shapes import Logprobs, PromptLogprobs
from core.events import TextDelta
from core.scores import ScoredToken
from core.vocabulary import Vocabulary
from serving.generation import Generation


class ScoreForm(Protocol):
    """How the scores of an answer's tokens are shown; one object a choice."""

    def of_answer(self, scores: Sequence[ScoredToken]) -> dict[str, Any]: ...

    def of_prompt(
        self, token_ids: Sequence[int], scores: Sequence[ScoredToken], num_characters: int
    ) -> dict[str, Any]: ...


class ChatScores:
    """A chat's; it echoes no prompt."""

    def __init__(self, vocabulary: Vocabulary, num_top: int) -> None:
        self._vocabulary = vocabulary
        self._num_top = num_top

    def of_answer(self, scores: Sequence[ScoredToken]) -> dict[str, Any]:
        return chat_logprobs(self._vocabulary, scores, self._num_top)

    def of_prompt(
        self, token_ids: Sequence[int], scores: Sequence[ScoredToken], num_characters: int
    ) -> dict[str, Any]:
        raise NotImplementedError("a chat echoes no prompt")


class ChoiceScores:
    """Each event is shown once: as a part of a stream, or added to the whole."""

    def __init__(self, vocabulary: Vocabulary, generation: Generation, *, is_chat: bool) -> None:
        view = generation.view
        self._vocabulary = vocabulary
        self._generation = generation
        self._form: ScoreForm | None = None
        if view.num_logprobs is not None and is_chat:
            self._form = ChatScores(vocabulary, view.num_logprobs)
        elif view.num_logprobs is not None:
            self._form = CompletionLogprobs(
                vocabulary, view.num_logprobs, shows_control=view.shows_control
            )
        self._of_prompt: Sequence[ScoredToken] | None = None
        self._added: list[ScoredToken] = []

    def add(self, event: TextDelta) -> None:
        self._added += event.scores

    def add_prompt(self, scores: Sequence[ScoredToken]) -> None:
        self._of_prompt = scores

    def whole(self) -> Logprobs:
        """Of all that was added."""
        if self._form is None:
            return None
        echo = self.of_echo()
        answer = self._form.of_answer(self._added)
        return answer if echo is None else joined([echo, answer])

    def of_echo(self) -> Logprobs:
        """Of the prompt that stands before the answer."""
        if self._form is None or not self._generation.view.echoes:
            return None
        prompt = self._generation.prompt
        return self._form.of_prompt(prompt.token_ids, self._of_prompt or (), len(prompt.text))

    def of_delta(self, event: TextDelta) -> Logprobs:
        """Of a part of the answer's text."""
        return self._form.of_answer(event.scores) if self._form and event.scores else None

    def of_prompt(self) -> PromptLogprobs | None:
        """None where they are not shown by themselves, or did not come: a chat's first choice alone
        has them.
        """
        num_top = self._generation.view.num_prompt_logprobs
        if num_top is None or self._of_prompt is None:
            return None
        return prompt_logprobs(self._vocabulary, self._of_prompt, num_top)
