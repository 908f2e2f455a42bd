"""Owns the body of a Messages request, as Anthropic has it: types, ranges, and what is refused.

What a turn's blocks mean together is decided in api/messages/.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, FailFast, Field

from api.schemas.chat import MAX_MESSAGES
from api.schemas.lists import Metadata, StopStrings
from api.schemas.strict_object import StrictObject
from api.schemas.tools import MAX_TOOLS
from core.errors import InvalidValue
from core.requests import Ending, SamplingWish

MAX_BLOCKS = 50_000
MIN_THINKING_BUDGET = 1024
_UNUSED = "Accepted and not used."
_LARGEST_COUNT = 2**31 - 1

# Known, and without effect on an answer.
UNUSED_MESSAGES_FIELDS = frozenset(
    {
        "cache_control",
        "context_management",
        "diagnostics",
        "inference_geo",
        "metadata",
        "service_tier",
        "speed",
        "user_profile_id",
        "workspace_id",
    }
)
IDLE_MESSAGES_FIELDS: Mapping[str, tuple[Any, ...]] = {"container": (), "mcp_servers": ([],)}
IDLE_TOOL_FIELDS: Mapping[str, tuple[Any, ...]] = {
    "allowed_callers": (["direct"],),
    "defer_loading": (False,),
    "input_examples": ([],),
}


class CacheControl(StrictObject):
    """What was computed is reused without being asked for: this has no effect."""

    type: Literal["ephemeral"]
    ttl: Literal["5m", "1h"] | None = None


class TextBlock(StrictObject):
    """A part of a turn's text."""

    type: Literal["text"]
    text: str
    cache_control: CacheControl | None = Field(None, description=_UNUSED)
    citations: list[Any] | None = Field(None, description=_UNUSED)


class ToolUseBlock(StrictObject):
    """A call in an assistant turn of the history."""

    type: Literal["tool_use"]
    id: str = Field(min_length=1, max_length=1000)
    name: str = Field(min_length=1, max_length=1000)
    input: dict[str, Any]
    cache_control: CacheControl | None = Field(None, description=_UNUSED)
    caller: dict[str, Any] | None = Field(None, description=_UNUSED)


class ToolResultBlock(StrictObject):
    """What a call gave. That it failed is told in the text."""

    type: Literal["tool_result"]
    tool_use_id: str = Field(min_length=1, max_length=1000)
    content: str | list[TextBlock] | None = None
    is_error: bool | None = None
    cache_control: CacheControl | None = Field(None, description=_UNUSED)


class ThinkingBlock(StrictObject):
    """What the model thought in an earlier turn."""

    type: Literal["thinking"]
    thinking: str
    signature: str | None = None


class RedactedThinkingBlock(StrictObject):
    """Thoughts that nobody but another server can read: they are left out."""

    type: Literal["redacted_thinking"]
    data: str


Block = TextBlock | ToolUseBlock | ToolResultBlock | ThinkingBlock | RedactedThinkingBlock


class MessagesTurn(StrictObject):
    """One turn, or a part of one: neighbours of one role are a single turn."""

    role: Literal["user", "assistant", "system"]
    content: str | list[Block]


class MessagesTool(StrictObject):
    """A tool that the client runs."""

    name: str
    description: str | None = None
    input_schema: dict[str, Any]
    strict: bool | None = Field(None, description="The arguments of every call match the schema.")
    type: Literal["custom"] | None = None
    cache_control: CacheControl | None = Field(None, description=_UNUSED)
    eager_input_streaming: bool | None = Field(
        None, description="False sends a call's input in one piece."
    )


class MessagesToolChoice(StrictObject):
    """Whether the model may, must or can't call tools; `name` goes with the type tool."""

    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


class MessagesThinking(StrictObject):
    """`budget_tokens` goes with the type enabled."""

    type: Literal["enabled", "disabled", "adaptive"]
    budget_tokens: int | None = Field(None, ge=MIN_THINKING_BUDGET, le=_LARGEST_COUNT)
    display: Literal["summarized", "omitted"] | None = None


class MessagesFormat(StrictObject):
    """JSON that a schema accepts."""

    type: Literal["json_schema"]
    schema_: dict[str, Any] = Field(alias="schema")


class OutputConfig(StrictObject):
    """How hard the model is to think, and what its text must match."""

    effort: Literal["low", "medium", "high", "xhigh", "max"] | None = None
    format: MessagesFormat | None = None


class PromptFields(BaseModel):
    """What makes the prompt, and what goes with it. None means the default."""

    model_config = ConfigDict(
        strict=True, extra="forbid", frozen=True, hide_input_in_errors=True, allow_inf_nan=False
    )

    model: str | None = Field(None, max_length=1000)
    messages: Annotated[list[MessagesTurn], FailFast()] = Field(
        min_length=1, max_length=MAX_MESSAGES
    )
    system: str | list[TextBlock] | None = None
    tools: list[MessagesTool] | None = Field(None, max_length=MAX_TOOLS)
    tool_choice: MessagesToolChoice | None = None
    thinking: MessagesThinking | None = None
    output_config: OutputConfig | None = None
    output_format: MessagesFormat | None = Field(
        None, description="The older output_config.format."
    )
    cache_control: CacheControl | None = Field(None, description=_UNUSED)
    context_management: dict[str, Any] | None = Field(
        None, description=f"{_UNUSED} Nothing of a conversation is cleared."
    )
    inference_geo: str | None = Field(None, description=_UNUSED)
    speed: Literal["standard", "fast"] | None = Field(None, description=_UNUSED)
    user_profile_id: str | None = Field(None, description=_UNUSED)
    workspace_id: str | None = Field(None, description=_UNUSED)

    @property
    def format(self) -> MessagesFormat | None:
        within = None if self.output_config is None else self.output_config.format
        return within or self.output_format

    @property
    def omits_thinking(self) -> bool:
        return self.thinking is not None and self.thinking.display == "omitted"

    def check_together(self) -> None:
        """Raises InvalidValue for fields that don't go together."""
        if self.output_format is not None and self.format is not self.output_format:
            raise InvalidValue(
                "output_format and output_config.format are both given: give one of them",
                param="output_format",
            )
        self._check_thinking()
        self._check_tool_choice()

    def _check_thinking(self) -> None:
        wanted = self.thinking
        if wanted is None or (wanted.type == "enabled") == (wanted.budget_tokens is not None):
            return
        param = "thinking.budget_tokens"
        if wanted.type == "enabled":
            raise InvalidValue(f"{param} is missing: the type enabled requires it", param=param)
        raise InvalidValue(f"{param} goes with the type enabled alone", param=param)

    def _check_tool_choice(self) -> None:
        choice = self.tool_choice
        if choice is None:
            return
        if (choice.type == "tool") != (choice.name is not None):
            raise InvalidValue(
                "tool_choice.name goes with the type tool, which requires it",
                param="tool_choice.name",
            )
        if choice.type in ("any", "tool") and not self.tools:
            raise InvalidValue(
                f"tool_choice is of type {choice.type}; that needs tools", param="tool_choice"
            )


class CountTokensRequest(PromptFields):
    """The body of POST /v1/messages/count_tokens."""


class MessagesRequest(PromptFields):
    """The body of POST /v1/messages."""

    max_tokens: int = Field(
        ge=0, le=_LARGEST_COUNT, description="0 computes the prompt and answers nothing."
    )
    stop_sequences: StopStrings = ()
    temperature: float | None = Field(None, ge=0.0, le=1.0)
    top_p: float | None = Field(None, gt=0.0, le=1.0)
    top_k: int | None = Field(None, ge=0, le=_LARGEST_COUNT, description="0 keeps all ids.")
    timeout: float | None = Field(
        None, gt=0, description="Seconds that the request may take, waiting included."
    )
    stream: bool | None = None
    metadata: Metadata = Field(None, description=_UNUSED)
    service_tier: Literal["auto", "standard_only"] | None = Field(None, description=_UNUSED)
    diagnostics: dict[str, Any] | None = Field(None, description=_UNUSED)

    @property
    def sampling(self) -> SamplingWish:
        given: dict[str, float | int | None] = {}
        for name in ("temperature", "top_p"):
            value = getattr(self, name)
            if value is not None:
                given[name] = float(value)
        if self.top_k is not None:
            given["top_k"] = self.top_k or None
        return SamplingWish(given=given)

    @property
    def ending(self) -> Ending:
        return Ending(stop=self.stop_sequences)

    def check_together(self) -> None:
        super().check_together()
        budget = None if self.thinking is None else self.thinking.budget_tokens
        if budget is not None and budget >= self.max_tokens:
            raise InvalidValue(
                f"thinking.budget_tokens is {budget}; allowed is a value below max_tokens,"
                f" {self.max_tokens}",
                param="thinking.budget_tokens",
            )
