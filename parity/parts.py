"""Owns what a question is, and the kinds of questions that there are."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

CHAT, COMPLETE = "/v1/chat/completions", "/v1/completions"
RENDER = "/v1/chat/completions/render"
RESPOND, MESSAGES, COUNT = "/v1/responses", "/v1/messages", "/v1/messages/count_tokens"
TOKENISE, DETOKENISE, TEMPLATE = "/tokenize", "/detokenize", "/apply-template"
EMBED, SCORE, RERANK = "/v1/embeddings", "/v1/score", "/v1/rerank"


class Part(StrEnum):
    """What is compared."""

    RENDER = "render"
    TOKENISE = "tokenise"
    SCORES = "scores"
    GREEDY = "greedy"
    SEEDED = "seeded"
    DRAWS = "draws"
    STRUCTURED = "structured"
    TOOLS = "tools"
    THOUGHTS = "thoughts"
    RESPONSES = "responses"
    MESSAGES = "messages"
    EMBEDDINGS = "embeddings"
    EDGES = "edges"

    @property
    def words(self) -> str:
        return _TITLES[self]


_TITLES = {
    Part.RENDER: "prompts and ids",
    Part.TOKENISE: "text to ids and back",
    Part.SCORES: "log-probabilities",
    Part.GREEDY: "greedy answers",
    Part.SEEDED: "seeded answers",
    Part.DRAWS: "unseeded draws",
    Part.STRUCTURED: "structured output",
    Part.TOOLS: "tools",
    Part.THOUGHTS: "thoughts",
    Part.RESPONSES: "Responses API",
    Part.MESSAGES: "Messages API",
    Part.EMBEDDINGS: "embeddings",
    Part.EDGES: "limits and errors",
}
# Of these, so many questions in a row say the same in other words. The first of each is a chat
# with the scores of its tokens: they tell where answers could part.
NUM_FORMS = {Part.TOOLS: 2, Part.THOUGHTS: 2, Part.RESPONSES: 3, Part.MESSAGES: 4}
# All but those that need a second model.
OF_CHAT_MODELS = frozenset(Part) - {Part.EMBEDDINGS}


@dataclass(frozen=True, slots=True)
class Question:
    """One request."""

    path: str
    body: dict[str, Any]
