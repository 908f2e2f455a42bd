"""Turns what a request wants of sampling into the plan of its choices. Knows no engine.

Here ids are held against the vocabulary, and words that are banned become ids.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from backends.base import Tokenizer
from core.errors import InvalidValue
from core.requests import SamplingWish
from core.sampling import SamplingPlan, Seed
from core.vocabulary import Vocabulary


@dataclass(frozen=True, slots=True)
class MadePlan:
    """What a wish comes to, once for all prompts of a request. `free_ids` are those of
    `allowed_ids` that no banned sequence may rule out.
    """

    plan: SamplingPlan
    free_ids: frozenset[int] | None = None

    def refuse_empty_choice(self, end_ids: frozenset[int]) -> None:
        """Raises InvalidValue where the request's own fields may leave no id to draw."""
        if self.free_ids is None:
            return
        if self.free_ids and not (self.plan.min_tokens and self.free_ids <= end_ids):
            return
        raise InvalidValue(
            "allowed_token_ids leaves no token to draw: bad_words, or end tokens below min_tokens,"
            " rule out all that it allows",
            param="allowed_token_ids",
        )


def plan_of(
    wish: SamplingWish, defaults: SamplingPlan, vocabulary: Vocabulary, tokenizer: Tokenizer
) -> MadePlan:
    """May take a while where there are many words or ids: it encodes each word twice. Raises
    InvalidValue for ids that the vocabulary does not have.
    """
    num_ids = len(vocabulary)
    check_ids("logit_bias", (token_id for token_id, _ in wish.logit_bias), num_ids)
    check_ids("allowed_token_ids", wish.allowed_token_ids or (), num_ids)
    given = replace(defaults, **dict(wish.given))  # type: ignore[arg-type]
    plan = replace(
        given,
        logit_bias=wish.logit_bias,
        allowed_ids=wish.allowed_token_ids,
        banned_sequences=_banned(wish.bad_words, tokenizer),
        min_tokens=wish.min_tokens,
        seed=None if wish.seed is None else Seed(wish.seed),
    )
    if plan.allowed_ids is None:
        return MadePlan(plan)
    banned = {sequence[-1] for sequence in plan.banned_sequences}
    return MadePlan(plan, frozenset(plan.allowed_ids) - banned)


def for_choice(plan: SamplingPlan, choice: int) -> SamplingPlan:
    """Choices of one prompt are drawn apart, also with one seed."""
    if plan.seed is None or choice == 0:
        return plan
    return replace(plan, seed=Seed(plan.seed.value, choice))


def check_ids(field: str, token_ids: Iterable[int], num_ids: int) -> None:
    """Raises InvalidValue for the first id outside the vocabulary."""
    for token_id in token_ids:
        if not 0 <= token_id < num_ids:
            raise InvalidValue(
                f"{field} names the token id {str(token_id)[:20]}; allowed are 0 to {num_ids - 1}",
                param=field,
            )


def _banned(words: tuple[str, ...], tokenizer: Tokenizer) -> tuple[tuple[int, ...], ...]:
    """A word may begin a text or follow a space, which mostly are different ids."""
    found: dict[tuple[int, ...], None] = {}
    for word in words:
        bare = word.lstrip(" ") or word
        for text in (bare, f" {bare}"):
            found[tuple(tokenizer.encode(text, with_control=False))] = None
    return tuple(sequence for sequence in found if sequence)
