"""Owns what is to be generated, after HTTP and before the engine. Knows no engine and no HTTP."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from core.messages import Conversation
from core.structures import Structure
from core.thinking import Thinking
from core.tool_choice import ToolChoice

Prompt = Conversation | str | tuple[int, ...]


@dataclass(frozen=True, slots=True)
class SamplingWish:
    """How a request wants its ids drawn.

    `given` are the fields of a SamplingPlan that the request sets itself, by name; all others get
    their defaults. Ids have not been checked against a vocabulary yet; `bad_words` are text.
    """

    given: Mapping[str, float | int | None] = field(default_factory=dict)
    logit_bias: tuple[tuple[int, float], ...] = ()
    allowed_token_ids: tuple[int, ...] | None = None
    bad_words: tuple[str, ...] = ()
    min_tokens: int = 0
    seed: int | None = None


@dataclass(frozen=True, slots=True)
class Ending:
    """What ends an answer besides its length: stop strings, ids, and the model's own end ids,
    unless `ignores_eos`. With `keeps_stop`, what ended it is a part of its text.
    """

    stop: tuple[str, ...] = ()
    stop_token_ids: tuple[int, ...] = ()
    ignores_eos: bool = False
    keeps_stop: bool = False


@dataclass(frozen=True, slots=True)
class View:
    """What is shown besides the text: scores of ids, the prompt, control tokens as spelled.

    None asks for no scores; a number for those of the ids and of so many best ones each.
    """

    num_logprobs: int | None = None
    num_prompt_logprobs: int | None = None
    echoes: bool = False
    shows_control: bool = False


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """One prompt to answer, `num_choices` times, each answer drawn for itself.

    `prompt` is a conversation (rendered by the chat format), a plain text (encoded as text that
    may hold control tokens, as OpenAI's completions do), or token ids. With a `suffix`, the
    answer goes between the two. `max_tokens` None means as many as the context window leaves,
    and at most `token_ceiling`; 0 none, for the prompt's scores alone. The text matches
    `structure`. `tool_choice` is about the conversation's tools, `thinking` about what a model
    that thinks does before it answers. Of two that wait, the lower `priority` goes first. What
    was computed for one prompt is reused for another only where both have the same
    `cache_salt`. `account` names whom it counts for: between accounts, turns at the engine are
    fair.
    """

    id: str
    prompt: Prompt
    suffix: str | None = None
    sampling: SamplingWish = field(default_factory=SamplingWish)
    ending: Ending = field(default_factory=Ending)
    view: View = field(default_factory=View)
    structure: Structure | None = None
    tool_choice: ToolChoice = field(default_factory=ToolChoice)
    thinking: Thinking = field(default_factory=Thinking)
    max_tokens: int | None = None
    priority: int = 0
    cache_salt: str | None = None
    num_choices: int = 1
    account: str = ""
    token_ceiling: int | None = None

    def __post_init__(self) -> None:
        if self.num_choices < 1:
            raise ValueError(f"num_choices {self.num_choices} is below 1")
