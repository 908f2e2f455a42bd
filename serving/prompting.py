"""Owns how prompts are made for one loaded model: render, encode, and the ids that end an answer.

Knows no engine: it sees the model's card and a tokenizer.
"""

from backends.base import ModelCard, Tokenizer
from chat_formats.base import ChatFormat, SpecialTokens
from chat_formats.jinja_format import JinjaFormat
from chat_formats.tool_fallback import ToolFallback
from core.errors import ContextLengthExceeded, InvalidValue, UnsupportedField
from core.messages import Conversation
from core.requests import Prompt
from serving.encoding import EncodedPrompt, PromptEncoder
from serving.end_ids import end_ids
from serving.infill import Infill, encode_suffix, find_infill


def special_tokens(card: ModelCard) -> SpecialTokens:
    """What a chat format needs of the model's vocabulary."""
    vocabulary = card.vocabulary
    return SpecialTokens(
        controls=frozenset(vocabulary.control_tokens()),
        bos=None if vocabulary.bos_id is None else vocabulary.spelling(vocabulary.bos_id),
        eos=None if vocabulary.eos_id is None else vocabulary.spelling(vocabulary.eos_id),
        add_bos=vocabulary.add_bos,
        is_byte_level=card.is_byte_level,
    )


class Prompter:
    """Makes prompts for one model. Pure but for the tokenizer; safe from any thread."""

    def __init__(self, card: ModelCard, tokenizer: Tokenizer, chat_format: ChatFormat) -> None:
        self._vocabulary = card.vocabulary
        self._tokenizer = tokenizer
        self._format = chat_format
        self._encoder = PromptEncoder(card.vocabulary)
        self._plain_stop_ids = tuple(sorted(end_ids(card.vocabulary)))
        self._infill = find_infill(card.vocabulary)
        self._window = card.context_window
        self._longest_piece = max(map(len, card.vocabulary.pieces), default=1) or 1

    @property
    def is_instant(self) -> bool:
        """Whether a short prompt takes microseconds; a Jinja template runs in another process."""
        inner = self._format.inner if isinstance(self._format, ToolFallback) else self._format
        return not isinstance(inner, JinjaFormat)

    @property
    def chat_format(self) -> ChatFormat:
        return self._format

    @property
    def infill(self) -> Infill | None:
        return self._infill

    def make(
        self, prompt: Prompt, suffix: str | None = None, *, must_fit: bool = False
    ) -> EncodedPrompt:
        """With a suffix, the answer goes between the two. Raises InvalidConversation, InvalidValue,
        or UnsupportedField for a suffix where the model has no tokens for one. With `must_fit`,
        raises ContextLengthExceeded for text so long that no tokenizer makes it fit.
        """
        if must_fit and isinstance(prompt, str):
            self._refuse_sure_excess(prompt + (suffix or ""), "prompt")
        if suffix is not None:
            return self._between(prompt, suffix)
        if isinstance(prompt, Conversation):
            return self._from_conversation(prompt, must_fit=must_fit)
        return self._from_text(prompt) if isinstance(prompt, str) else self._from_ids(prompt)

    def _refuse_sure_excess(self, text: str, param: str) -> None:
        """Before the tokenizer sees it, which takes up to a second for a megabyte."""
        num_bytes = len(text.encode("utf-8", "replace"))
        num_tokens = -(-num_bytes // self._longest_piece)
        if num_tokens > self._window:
            raise ContextLengthExceeded(
                f"the context window holds {self._window} tokens; the prompt has {num_bytes}"
                f" bytes, which are at least {num_tokens} tokens: shorten the prompt",
                param=param,
            )

    def _between(self, prompt: Prompt, suffix: str) -> EncodedPrompt:
        if self._infill is None:
            raise UnsupportedField(
                "this model has no tokens for infilling, which a suffix needs", param="suffix"
            )
        assert not isinstance(prompt, Conversation), "chats have no suffix"
        if isinstance(prompt, str):
            text, prefix_ids = prompt, tuple(self._tokenizer.encode(prompt, with_control=False))
        else:
            text, prefix_ids = self._from_ids(prompt).text, prompt
        suffix_ids = encode_suffix(suffix, self._tokenizer)
        return EncodedPrompt(
            text=text,
            token_ids=self._infill.prompt_ids(prefix_ids, suffix_ids),
            stop_ids=tuple(sorted({*self._plain_stop_ids, *self._infill.end_ids})),
            stop_strings=(),
        )

    def _from_conversation(self, conversation: Conversation, *, must_fit: bool) -> EncodedPrompt:
        rendered = self._format.render(conversation)
        if must_fit:
            self._refuse_sure_excess(rendered.text, "messages")
        return EncodedPrompt(
            text=rendered.text,
            token_ids=self._encoder.encode(rendered, self._tokenizer),
            stop_ids=tuple(sorted(end_ids(self._vocabulary, rendered.stop_tokens))),
            stop_strings=rendered.stop_strings,
        )

    def _from_text(self, text: str) -> EncodedPrompt:
        """As OpenAI's completions: control tokens may be spelled, begin-of-text stands once."""
        token_ids = tuple(self._tokenizer.encode(text, with_control=True))
        bos_id = self._vocabulary.bos_id
        if self._vocabulary.add_bos and bos_id is not None and token_ids[:1] != (bos_id,):
            token_ids = (bos_id, *token_ids)
        if not token_ids:
            raise InvalidValue("prompt is empty: it must hold at least one token", param="prompt")
        return EncodedPrompt(text, token_ids, self._plain_stop_ids, ())

    def _from_ids(self, token_ids: tuple[int, ...]) -> EncodedPrompt:
        if not token_ids:
            raise InvalidValue("prompt is empty: it must hold at least one token", param="prompt")
        limit = len(self._vocabulary)
        for token_id in token_ids:
            if not 0 <= token_id < limit:
                raise InvalidValue(
                    f"prompt holds the token id {str(token_id)[:20]}; allowed are 0 to {limit - 1}",
                    param="prompt",
                )
        data = b"".join(self._vocabulary.pieces[token_id] for token_id in token_ids)
        return EncodedPrompt(data.decode("utf-8", "replace"), token_ids, self._plain_stop_ids, ())
