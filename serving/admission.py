"""Decides whether a request can be served by the loaded model, and makes its choices' tasks.

Pure: everything that a request says is held against the vocabulary and the context window here,
before any engine works. Knows no HTTP.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from backends.base import ModelCard, Tokenizer, TokenRequest
from core.errors import ContextLengthExceeded, InvalidValue, UnsupportedField
from core.grammar import Grammar
from core.messages import Conversation
from core.requests import GenerationRequest
from core.sampling import SamplingPlan
from serving.answers.rules import AnswerRules
from serving.decoding import TextRules
from serving.encoding import EncodedPrompt
from serving.generation import Task
from serving.sampling_plans import MadePlan, check_ids, for_choice, plan_of

# So many take some 150 MiB here, and as many again as JSON: of one request, all prompts' and all
# answers' each. It is a token with its 20 best ones 50,000 times.
MAX_SCORES = 1 << 20


@dataclass(frozen=True, slots=True)
class AnswerTerms:
    """What is known of the answer before it is made: what it must match, what may stand in it, and
    the control ids that are shown to find that.
    """

    grammar: Grammar | None = None
    rules: AnswerRules = field(default_factory=AnswerRules)
    shown_ids: frozenset[int] = frozenset()


class Admission:
    """For one loaded model. `defaults` are the sampling that a request does not set itself."""

    def __init__(self, card: ModelCard, tokenizer: Tokenizer, defaults: SamplingPlan) -> None:
        self._card = card
        self._tokenizer = tokenizer
        self._defaults = defaults

    def plan(self, request: GenerationRequest) -> MadePlan:
        """How ids are drawn, whatever the prompt is; blocking. Raises InvalidValue or
        UnsupportedField.
        """
        self._check_supported(request)
        self._check_ids(request)
        return plan_of(request.sampling, self._defaults, self._card.vocabulary, self._tokenizer)

    def tasks(
        self,
        request: GenerationRequest,
        prompt: EncodedPrompt,
        answer: AnswerTerms,
        made: MadePlan | None = None,
    ) -> list[Task]:
        """A task a choice; with the plan that was made before, where there is one. Raises
        InvalidValue, UnsupportedField or ContextLengthExceeded.
        """
        made = made or self.plan(request)
        self._check_end(request, answer.grammar)
        end_ids = _end_ids(request, prompt)
        made.refuse_empty_choice(end_ids)
        num_wanted = _num_wanted(self._card, request, len(prompt.token_ids))
        rules = _text_rules(request, prompt, answer.shown_ids)
        return [
            Task(
                prompt=prompt,
                choice=choice,
                tokens=TokenRequest(
                    id=f"{request.id}-{choice}",
                    prompt_ids=prompt.token_ids,
                    max_tokens=max(num_wanted, 1),
                    end_ids=end_ids,
                    sampling=for_choice(made.plan, choice),
                    # Between accounts an engine's own order would pass by the turns' fairness.
                    priority=0 if request.account else request.priority,
                    cache_salt=request.cache_salt,
                    grammar=answer.grammar,
                    num_logprobs=request.view.num_logprobs,
                    num_prompt_logprobs=_num_prompt_logprobs(request, choice),
                ),
                rules=rules,
                answers=answer.rules,
                view=request.view,
                num_wanted=num_wanted,
                account=request.account,
                priority=request.priority,
            )
            for choice in range(request.num_choices)
        ]

    def _check_ids(self, request: GenerationRequest) -> None:
        check_ids("stop_token_ids", request.ending.stop_token_ids, len(self._card.vocabulary))

    def _check_supported(self, request: GenerationRequest) -> None:
        for name in sorted(_asked_for(request) & self._card.unsupported_fields):
            raise UnsupportedField(
                f"{name} can't be honoured by the engine as it is set up:"
                f" {self._card.engine_build}",
                param=name,
            )

    def _check_end(self, request: GenerationRequest, grammar: Grammar | None) -> None:
        if grammar is not None and self._card.vocabulary.eos_id is None:
            raise UnsupportedField(
                "this model has no end-of-text token, which structured output needs",
                param=request.structure.param if request.structure is not None else "tools",
            )


def check_scores(tasks: Sequence[Task]) -> None:
    """All scores of one request lie in memory until it has ended. Raises InvalidValue."""
    of_prompts, of_answers = 0, 0
    for task in tasks:
        of_prompts += _num_scores(task.tokens.num_prompt_logprobs, len(task.tokens.prompt_ids))
        of_answers += _num_scores(task.tokens.num_logprobs, task.num_wanted)
    if of_prompts > MAX_SCORES:
        raise InvalidValue(
            f"{of_prompts} scores of prompts' tokens are asked for; allowed are at most"
            f" {MAX_SCORES}: shorten the prompts, or lower prompt_logprobs or logprobs",
            param="prompt_logprobs",
        )
    if of_answers > MAX_SCORES:
        raise InvalidValue(
            f"{of_answers} scores of tokens are asked for; allowed are at most {MAX_SCORES}: lower"
            " max_tokens, n or the number of best tokens",
            param="top_logprobs",
        )


def _num_scores(num_top: int | None, num_tokens: int) -> int:
    """A token has its own beside those of the best ones."""
    return 0 if num_top is None else num_tokens * (num_top + 1)


def _asked_for(request: GenerationRequest) -> frozenset[str]:
    """The fields that a request sets, of those that an engine may not have."""
    wish = request.sampling
    others = {
        "seed": wish.seed is not None,
        "logit_bias": bool(wish.logit_bias),
        "allowed_token_ids": wish.allowed_token_ids is not None,
        "bad_words": bool(wish.bad_words),
        "min_tokens": bool(wish.min_tokens),
    }
    return frozenset(wish.given) | {name for name, is_set in others.items() if is_set}


def _end_ids(request: GenerationRequest, prompt: EncodedPrompt) -> frozenset[int]:
    own = () if request.ending.ignores_eos else prompt.stop_ids
    return frozenset(own) | frozenset(request.ending.stop_token_ids)


def _text_rules(
    request: GenerationRequest, prompt: EncodedPrompt, shown_ids: frozenset[int]
) -> TextRules:
    return TextRules(
        stop=request.ending.stop,
        format_stop=() if request.ending.ignores_eos else prompt.stop_strings,
        min_tokens=request.sampling.min_tokens,
        keeps_stop=request.ending.keeps_stop,
        shows_control=request.view.shows_control,
        shown_ids=shown_ids,
    )


def _num_prompt_logprobs(request: GenerationRequest, choice: int) -> int | None:
    """An echo shows the scores that it asks for of the answer too."""
    view = request.view
    asked = [view.num_prompt_logprobs, view.num_logprobs if view.echoes else None]
    counts = [count for count in asked if count is not None]
    is_needed = choice == 0 or not isinstance(request.prompt, Conversation)
    return max(counts) if counts and is_needed else None


def _num_wanted(card: ModelCard, request: GenerationRequest, num_prompt: int) -> int:
    """Raises ContextLengthExceeded, with both numbers, where prompt and answer don't fit."""
    window = card.context_window
    wanted = request.max_tokens
    total = num_prompt + max(wanted or 1, 1)
    if total > window:
        asked = f" and {wanted} were asked for" if wanted is not None else ""
        raise ContextLengthExceeded(
            f"the context window holds {window} tokens; the prompt has {num_prompt}{asked}, "
            f"{total} in all: shorten the prompt or lower max_tokens",
            param="prompt" if not isinstance(request.prompt, Conversation) else "messages",
        )
    longest = window - num_prompt
    if request.token_ceiling is not None:
        longest = min(longest, request.token_ceiling)
    if request.view.num_logprobs is not None:
        # The default length is no wish for so many scores.
        each = _num_scores(request.view.num_logprobs, request.num_choices)
        longest = min(longest, MAX_SCORES // each)
    count = wanted if wanted is not None else longest
    if request.sampling.min_tokens > count:
        raise InvalidValue(
            f"min_tokens is {request.sampling.min_tokens}; the answer has at most {count} tokens",
            param="min_tokens",
        )
    return count
