"""Charges keys for the tokens of their answers, as those end. An `Observer`."""

from api.access.allowances import Allowances
from core.observation import AnswerSummary, ReplySummary


class TokenCharges:
    """Prompt and answer together, however the answer ended."""

    def __init__(self, allowances: Allowances) -> None:
        self._allowances = allowances

    def answer_grew(self, num_tokens: int, since_s: float, model: str) -> None:
        """Counted at the end."""

    def answer_ended(self, summary: AnswerSummary) -> None:
        num_tokens = summary.num_prompt_tokens + summary.num_completion_tokens
        self._allowances.charge(summary.account, num_tokens)

    def replied(self, summary: ReplySummary) -> None:
        """Requests are counted as they begin."""
