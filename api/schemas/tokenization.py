"""Owns the bodies of the tokenisation routes: vLLM's fields, and llama-server's for the same."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from api.schemas.fields import without_idle_fields
from api.schemas.strict_object import StrictObject
from api.schemas.validation import UnknownFields, validate
from core.errors import InvalidValue

MAX_TEXT_CHARACTERS = 1 << 22
MAX_TOKENS = 1 << 20

IDLE_TOKENIZE_FIELDS: Mapping[str, tuple[Any, ...]] = {
    "chat_template": (),
    "media_io_kwargs": ({},),
    "mm_processor_kwargs": ({},),
}
_OF_TEXT = ("prompt", "content", "add_special", "parse_special", "with_pieces")


def _ids(value: object) -> object:
    """By hand: pydantic would describe each wrong one of a million."""
    is_list = isinstance(value, list) and len(value) <= MAX_TOKENS
    if not is_list or not all(type(each) is int for each in value):  # type: ignore[attr-defined]
        raise PydanticCustomError(
            "ids", "allowed is a list of at most {count} token ids", {"count": MAX_TOKENS}
        )
    return tuple(value)  # type: ignore[arg-type]


class _Body(StrictObject):
    model_config = ConfigDict(
        strict=True, extra="forbid", frozen=True, hide_input_in_errors=True, allow_inf_nan=False
    )

    model: str | None = Field(None, max_length=1000)


class TokenizeRequest(_Body):
    """The body of POST /tokenize: a text as `prompt` or `content`, or the fields of a chat request,
    which are read as such.
    """

    prompt: str | None = Field(None, max_length=MAX_TEXT_CHARACTERS)
    content: str | None = Field(
        None, max_length=MAX_TEXT_CHARACTERS, description="llama-server's name of prompt."
    )
    add_special_tokens: bool | None = Field(
        None, description="Begin-of-text, where the model's tokenizer puts it. With prompt: true."
    )
    add_special: bool | None = Field(
        None, description="llama-server's name of add_special_tokens, with content: false."
    )
    parse_special: bool | None = Field(
        None, description="False reads spelled control tokens as text."
    )
    return_token_strs: bool | None = Field(None, description="Adds the text of each token.")
    with_pieces: bool | None = Field(
        None, description="Each token as an object of its id and its piece, as in llama-server."
    )

    @property
    def text(self) -> str:
        return self.prompt if self.prompt is not None else self.content or ""

    @property
    def adds_special(self) -> bool:
        given = self.add_special_tokens if self.add_special is None else self.add_special
        return self.prompt is not None if given is None else given


class DetokenizeRequest(_Body):
    """The body of POST /detokenize."""

    tokens: Annotated[tuple[int, ...], BeforeValidator(_ids, json_schema_input_type=list[int])] = (
        Field()
    )


class TokenizeChatOptions(StrictObject):
    """What /tokenize knows beside a chat request's fields."""

    add_special_tokens: bool | None = None
    return_token_strs: bool | None = None


def read_tokenize(body: Mapping[str, Any], unknown: UnknownFields) -> TokenizeRequest:
    """A body without messages. Raises InvalidValue or UnsupportedField."""
    request = validate(TokenizeRequest, without_idle_fields(body, IDLE_TOKENIZE_FIELDS), unknown)
    if (request.prompt is None) == (request.content is None):
        raise InvalidValue("allowed is exactly one of prompt, content and messages", param="prompt")
    if None not in (request.add_special, request.add_special_tokens):
        raise InvalidValue(
            "add_special and add_special_tokens are both given: give one of them",
            param="add_special",
        )
    return request


def split_chat(body: Mapping[str, Any]) -> tuple[dict[str, Any], TokenizeChatOptions]:
    """A body with messages: the chat request in it, and what stands beside that.

    Raises InvalidValue or UnsupportedField.
    """
    for name in _OF_TEXT:
        if body.get(name) is not None:
            raise InvalidValue(f"{name} does not go with messages", param=name)
    own = {name: body[name] for name in TokenizeChatOptions.model_fields if name in body}
    options = validate(TokenizeChatOptions, own, UnknownFields(are_refused=True))
    plain = without_idle_fields(body, IDLE_TOKENIZE_FIELDS)
    chat = {name: value for name, value in plain.items() if name not in (*own, *_OF_TEXT)}
    return chat, options
