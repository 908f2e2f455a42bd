"""Owns how scores of tokens are shown, in each of the API's forms. Computes none.

A token is shown as its text, and where that is a part of a character, U+FFFD stands for it; chat
answers show its bytes too. Control tokens are shown as they are spelled. Each becomes JSON by
itself: as objects all at once, a million scores take half a gigabyte.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from core.scores import ScoredToken
from core.vocabulary import Vocabulary
from serving.utf8 import Utf8Stream

_encode = msgspec.json.Encoder().encode


def chat_tokens(
    vocabulary: Vocabulary, scores: Sequence[ScoredToken], num_top: int
) -> Iterator[dict[str, Any]]:
    """An object a token, with those of the best ones in it."""
    for score in scores:
        yield {
            **_chat_token(vocabulary, score.token_id, score.logprob),
            "top_logprobs": [
                _chat_token(vocabulary, token_id, logprob)
                for token_id, logprob in score.top[:num_top]
            ],
        }


def chat_logprobs(
    vocabulary: Vocabulary, scores: Sequence[ScoredToken], num_top: int
) -> dict[str, Any]:
    """The `logprobs` of a chat choice or delta."""
    content = [msgspec.Raw(_encode(each)) for each in chat_tokens(vocabulary, scores, num_top)]
    return {"content": content, "refusal": None}


def prompt_logprobs(
    vocabulary: Vocabulary, scores: Sequence[ScoredToken], num_top: int
) -> list[msgspec.Raw | None]:
    """An object a prompt token, from id to score, as vLLM's API has it; null for the first one,
    which follows nothing.
    """
    tokens = (_prompt_token(vocabulary, score, num_top) for score in scores)
    return [None, *(msgspec.Raw(_encode(each)) for each in tokens)]


class CompletionLogprobs:
    """The `logprobs` of one choice of a plain completion, in parts: offsets go on from one part to
    the next, in characters from the start of the choice's text.
    """

    def __init__(self, vocabulary: Vocabulary, num_top: int, *, shows_control: bool) -> None:
        self._vocabulary = vocabulary
        self._num_top = num_top
        self._hidden = frozenset() if shows_control else vocabulary.control_ids
        self._utf8 = Utf8Stream()
        self._num_characters = 0

    def of_prompt(
        self, token_ids: Sequence[int], scores: Sequence[ScoredToken], num_characters: int
    ) -> dict[str, Any]:
        """The echoed prompt, of `num_characters`: the first token has no score. What a tokenizer
        put before the text (begin-of-text, a space) has no place in it.
        """
        starts: list[int] = []
        utf8, length = Utf8Stream(), 0
        for token_id in token_ids:
            starts.append(length)
            length += len(utf8.feed(self._vocabulary.pieces[token_id]))
        self._num_characters = num_characters
        num_before = max(length - num_characters, 0)
        tokens = [self._vocabulary.spelling(token_id) for token_id in token_ids]
        return {
            "tokens": tokens,
            "token_logprobs": [None, *(score.logprob for score in scores)],
            "top_logprobs": [None, *map(self._top, scores)],
            "text_offset": [max(start - num_before, 0) for start in starts],
        }

    def of_answer(self, scores: Sequence[ScoredToken]) -> dict[str, Any]:
        offsets: list[int] = []
        for score in scores:
            offsets.append(self._num_characters)
            if score.token_id not in self._hidden:
                piece = self._vocabulary.pieces[score.token_id]
                self._num_characters += len(self._utf8.feed(piece))
        return {
            "tokens": [self._vocabulary.spelling(score.token_id) for score in scores],
            "token_logprobs": [score.logprob for score in scores],
            "top_logprobs": [self._top(score) for score in scores],
            "text_offset": offsets,
        }

    def _top(self, score: ScoredToken) -> msgspec.Raw:
        """With the token itself, as OpenAI has it. Of two that are spelled alike, the better."""
        best = score.top[: self._num_top]
        pairs = [*best, (score.token_id, score.logprob)]
        spelled: dict[str, float] = {}
        for token_id, logprob in pairs:
            spelled.setdefault(self._vocabulary.spelling(token_id), logprob)
        return msgspec.Raw(_encode(spelled))


def joined(parts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Parts of one plain completion's `logprobs`, in their order, as one."""
    return {name: [item for part in parts for item in part[name]] for name in parts[0]}


def _chat_token(vocabulary: Vocabulary, token_id: int, logprob: float) -> dict[str, Any]:
    return {
        "token": vocabulary.spelling(token_id),
        "logprob": logprob,
        "bytes": list(vocabulary.pieces[token_id]),
    }


def _prompt_token(vocabulary: Vocabulary, score: ScoredToken, num_top: int) -> dict[str, Any]:
    ranked = {
        token_id: (logprob, rank)
        for rank, (token_id, logprob) in enumerate(score.top[:num_top], start=1)
    }
    ranked.setdefault(score.token_id, (score.logprob, score.rank))
    return {
        str(token_id): {
            "logprob": logprob,
            "rank": rank,
            "decoded_token": vocabulary.spelling(token_id),
        }
        for token_id, (logprob, rank) in ranked.items()
    }
