"""Owns the fields of a chat request that are about thinking."""

from typing import Literal

from pydantic import Field

from api.schemas.strict_object import StrictObject
from core.errors import InvalidValue
from core.thinking import Effort, Thinking

EffortName = Literal["none", "minimal", "low", "medium", "high", "xhigh"]
_BUDGET_FIELDS = ("thinking_token_budget", "thinking_budget_tokens")


class ThinkingFields(StrictObject):
    """None leaves it to the model. The budget has vLLM's name, or llama-server's."""

    reasoning_effort: EffortName | None = Field(
        None, description="How hard to think; where the template has no such word, a budget."
    )
    thinking_token_budget: int | None = Field(
        None, ge=0, le=2**31 - 1, description="The most tokens of thoughts; then the answer begins."
    )
    thinking_budget_tokens: int | None = Field(
        None, ge=0, le=2**31 - 1, description="Another name of thinking_token_budget."
    )

    @property
    def thinking(self) -> Thinking:
        effort = None if self.reasoning_effort is None else Effort(self.reasoning_effort)
        budgets = (self.thinking_token_budget, self.thinking_budget_tokens)
        return Thinking(effort, next((each for each in budgets if each is not None), None))

    def check_budgets(self) -> None:
        """Raises InvalidValue for two budgets that say different things."""
        given = {self.thinking_token_budget, self.thinking_budget_tokens} - {None}
        if len(given) > 1:
            raise InvalidValue(
                f"{' and '.join(_BUDGET_FIELDS)} are both given: give one of them",
                param=_BUDGET_FIELDS[1],
            )
