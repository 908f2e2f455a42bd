"""Owns the body of a request for a response: types, ranges, and what is refused."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field, WithJsonSchema

from api.schemas.fields import MAX_CACHE_SALT_CHARACTERS, without_idle_fields
from api.schemas.lists import Metadata
from api.schemas.responses.items import Item, read_items
from api.schemas.responses.text import TextField, TextFormat
from api.schemas.responses.tools import Calling, read_calling, read_tools
from api.schemas.sampling_fields import SamplingFields
from api.schemas.strict_object import StrictObject
from api.schemas.validation import UnknownFields, validate
from core.errors import InvalidValue, UnsupportedField
from core.requests import View
from core.scores import MAX_TOP_LOGPROBS
from core.structures import Structure
from core.thinking import Effort, Thinking

SCORES = "message.output_text.logprobs"
IDLE_RESPONSE_FIELDS: Mapping[str, tuple[Any, ...]] = {
    "access_programs": (),
    "context_management": ([],),
    "conversation": (),
    "image": (),
    "max_tool_calls": (),
    "moderation": (),
    "prompt": (),
    "prompt_cache_options": (),
    "prompt_cache_retention": ("in_memory",),
    "truncation": ("disabled",),
}
# Known, and without effect on an answer; the response tells most of them back.
UNUSED_RESPONSE_FIELDS = frozenset(
    {"user", "metadata", "safety_identifier", "prompt_cache_key", "service_tier"}
)
# What may leave no token to draw at all where the text has to match a structure.
_AGAINST_STRUCTURE = ("min_tokens", "allowed_token_ids", "bad_words")

# All but the first are of tools and images that no answer here has, or of thoughts, which stand
# in the answer as they are.
Include = Literal[
    "message.output_text.logprobs",
    "reasoning.encrypted_content",
    "file_search_call.results",
    "web_search_call.results",
    "web_search_call.action.sources",
    "message.input_image.image_url",
    "computer_call_output.output.image_url",
    "code_interpreter_call.outputs",
]

ToldBack = Annotated[str | None, Field(max_length=512, description="Told back and not used.")]


class ReasoningField(StrictObject):
    """How hard the model is to think. No summaries are written: "auto" asks for the best there is,
    and the thoughts themselves are shown.
    """

    effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = None
    summary: Literal["auto"] | None = None
    generate_summary: Literal["auto"] | None = None
    context: Literal["auto"] | None = None
    mode: Literal["standard"] | None = None


class ResponseStreamOptions(StrictObject):
    """No stream is obfuscated."""

    include_obfuscation: Literal[False] | None = None


class ResponseRequest(SamplingFields):
    """The body of POST /v1/responses. None means the default."""

    model: str | None = Field(None, max_length=1000)
    input: Annotated[
        Any, WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {}}]})
    ] = Field(description="A user's message, or a list of items.")
    instructions: str | None = Field(
        None, description="A system message before all others, of this response alone."
    )
    previous_response_id: str | None = Field(None, max_length=200)
    tools: Annotated[Any, WithJsonSchema({"type": "array", "items": {}})] = None
    tool_choice: Annotated[Any, WithJsonSchema({})] = None
    parallel_tool_calls: bool | None = None
    text: TextField | None = None
    reasoning: ReasoningField | None = None
    thinking_token_budget: int | None = Field(
        None, ge=0, le=2**31 - 1, description="The most tokens of thoughts; then the answer begins."
    )
    max_output_tokens: int | None = Field(None, ge=1, le=2**31 - 1)
    include: list[Include] | None = Field(None, max_length=20)
    top_logprobs: int | None = Field(None, ge=0, le=MAX_TOP_LOGPROBS)
    store: bool | None = Field(None, description="True by default.")
    background: bool | None = None
    timeout: float | None = Field(
        None, gt=0, description="Seconds that the request may take, waiting included."
    )
    stream: bool | None = None
    stream_options: ResponseStreamOptions | None = None
    chat_template_kwargs: dict[str, Any] | None = Field(
        None, description="Further variables of the chat template."
    )
    priority: int | None = Field(None, ge=-(2**31), le=2**31 - 1)
    cache_salt: str | None = Field(None, min_length=1, max_length=MAX_CACHE_SALT_CHARACTERS)
    metadata: Metadata = None
    user: ToldBack = None
    safety_identifier: ToldBack = None
    prompt_cache_key: ToldBack = None
    service_tier: Literal["auto", "default", "flex", "scale", "priority"] | None = Field(
        None, description="Accepted and not used."
    )

    @property
    def is_stored(self) -> bool:
        return self.store is not False

    @property
    def format(self) -> TextFormat:
        given = None if self.text is None else self.text.format
        return TextFormat(type="text") if given is None else given

    @property
    def structure(self) -> Structure | None:
        return self.format.structure

    @property
    def thinking(self) -> Thinking:
        """The hardest here is xhigh."""
        effort = None if self.reasoning is None else self.reasoning.effort
        known = "xhigh" if effort == "max" else effort
        return Thinking(None if known is None else Effort(known), self.thinking_token_budget)

    @property
    def view(self) -> View:
        wants_scores = SCORES in (self.include or ())
        return View(num_logprobs=(self.top_logprobs or 0) if wants_scores else None)

    def check_together(self) -> None:
        """Raises InvalidValue or UnsupportedField for fields that don't go together."""
        if self.stream_options is not None and not self.stream:
            raise InvalidValue(
                "stream_options goes with stream: true alone", param="stream_options"
            )
        if self.top_logprobs and SCORES not in (self.include or ()):
            raise InvalidValue(
                f'top_logprobs goes with include: ["{SCORES}"] alone', param="top_logprobs"
            )
        if self.background:
            self._check_background()
        if self.structure is not None:
            self._check_against_structure()
        self._check_min_tokens()

    def _check_background(self) -> None:
        if self.stream:
            raise UnsupportedField(
                "stream does not go with background: true here: ask for the response by its id",
                param="stream",
            )
        if not self.is_stored:
            raise InvalidValue("background: true does not go with store: false", param="store")

    def _check_against_structure(self) -> None:
        for name in _AGAINST_STRUCTURE:
            if getattr(self, name):
                raise InvalidValue(
                    f"{name} does not go with a structured output: together they may leave no token"
                    " to draw",
                    param=name,
                )

    def _check_min_tokens(self) -> None:
        limit = self.max_output_tokens
        if self.min_tokens is not None and limit is not None and self.min_tokens > limit:
            raise InvalidValue(
                f"min_tokens is {self.min_tokens}; allowed is at most the answer's length, {limit}",
                param="min_tokens",
            )


@dataclass(frozen=True, slots=True)
class ReadResponse:
    """A body that was read: its fields, the items of its input, and what may be called."""

    fields: ResponseRequest
    items: tuple[Item, ...]
    calling: Calling


def read_response(body: Mapping[str, Any], unknown: UnknownFields) -> ReadResponse:
    """Raises InvalidValue or UnsupportedField."""
    plain = without_idle_fields(body, IDLE_RESPONSE_FIELDS)
    fields = validate(ResponseRequest, plain, unknown)
    fields.check_together()
    tools = read_tools(fields.tools, unknown)
    is_parallel = fields.parallel_tool_calls is not False
    calling = read_calling(tools, fields.tool_choice, is_parallel=is_parallel)
    return ReadResponse(fields, read_items(fields.input, unknown), calling)
