"""What is asked is what the server takes, and in each API's words it is the same."""

from collections.abc import Callable

import pytest

from api.messages.conversation import conversation_of
from api.messages.reading import read_messages
from api.responses.conversation import made_messages
from api.schemas.chat import read_chat
from api.schemas.embeddings import read_embedding
from api.schemas.messages import CountTokensRequest, MessagesRequest
from api.schemas.rerank import read_rerank, read_score
from api.schemas.responses.request import read_response
from api.schemas.tokenization import DetokenizeRequest, read_tokenize, split_chat
from api.schemas.validation import UnknownFields, validate
from core.messages import Conversation
from parity import parts
from parity.parts import NUM_FORMS, Part, Question
from parity.questions import questions, questions_of
from parity.transcript import Size

SIZE = Size(40, 8)
UNKNOWN = UnknownFields(are_refused=True)
NEW = (Part.TOOLS, Part.THOUGHTS, Part.RESPONSES, Part.MESSAGES, Part.TOKENISE, Part.EMBEDDINGS)


def read(question: Question) -> Conversation | None:
    """What the server would render of it, where it is a conversation. Raises where it refuses."""
    path, body = question.path, question.body
    if path in (parts.CHAT, parts.TEMPLATE):
        return read_chat(body, UNKNOWN).conversation
    if path == parts.RESPOND:
        response = read_response(body, UNKNOWN)
        messages = made_messages(response.fields.instructions, response.items)
        return Conversation(messages, tools=response.calling.tools)
    if path in (parts.MESSAGES, parts.COUNT):
        kind = MessagesRequest if path == parts.MESSAGES else CountTokensRequest
        return conversation_of(read_messages(kind, body, UNKNOWN))
    if path == parts.TOKENISE and "messages" in body:
        return read_chat(split_chat(body)[0], UNKNOWN).conversation
    readers: dict[str, Callable[[], object]] = {
        parts.TOKENISE: lambda: read_tokenize(body, UNKNOWN),
        parts.DETOKENISE: lambda: validate(DetokenizeRequest, body, UNKNOWN),
        parts.EMBED: lambda: read_embedding(body, UNKNOWN),
        parts.SCORE: lambda: read_score(body, UNKNOWN),
        parts.RERANK: lambda: read_rerank(body, UNKNOWN),
    }
    readers[path]()
    return None


@pytest.mark.parametrize("part", NEW)
def test_what_is_asked_is_accepted(part: Part) -> None:
    asked = questions_of(part, SIZE)
    assert len(asked) >= 9
    for question in asked:
        read(question)


@pytest.mark.parametrize("part", list(NUM_FORMS))
def test_all_forms_of_a_wish_make_the_same_conversation(part: Part) -> None:
    asked, size = questions_of(part, SIZE), NUM_FORMS[part]
    assert len(asked) % size == 0
    for at in range(0, len(asked), size):
        chat, *others = (read(question) for question in asked[at : at + size])
        assert chat is not None
        for other in others:
            assert other is not None
            assert (other.messages, other.tools) == (chat.messages, chat.tools)


def test_the_same_size_asks_the_same() -> None:
    assert questions(SIZE) == questions(SIZE)
    assert questions(SIZE).keys() == set(Part)
