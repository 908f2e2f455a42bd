"""Control tokens come from the template alone, and no cut falls inside text."""

from chat_formats.base import Piece, RenderedPrompt
from core.vocabulary import Vocabulary
from serving.encoding import PromptEncoder
from serving.end_ids import end_ids

CONTROL = {"<|start|>": 300, "<|im_end|>": 301}
PIECES = [b""] * 302
PIECES[300], PIECES[301] = b"<|start|>", b"<|im_end|>"
VOCABULARY = Vocabulary(
    pieces=tuple(PIECES),
    control_ids=frozenset(CONTROL.values()),
    bos_id=None,
    eos_id=None,
    metadata_end_ids=frozenset({7}),
    add_bos=False,
)


class CharacterTokenizer:
    """An id a character, and whole words where no cut separates them: cuts become visible."""

    def encode(self, text: str, *, with_control: bool) -> list[int]:
        ids: list[int] = []
        while text:
            spelled = next((s for s in CONTROL if with_control and text.startswith(s)), None)
            word = "\nhi" if text.startswith("\nhi") else text[0]
            ids.append(CONTROL[spelled] if spelled else 299 if word == "\nhi" else ord(word))
            text = text[len(spelled or word) :]
        return ids


def encode(*pieces: Piece) -> tuple[int, ...]:
    return PromptEncoder(VOCABULARY).encode(RenderedPrompt(pieces), CharacterTokenizer())


def test_ids_equal_those_of_the_whole_string() -> None:
    ids = encode(Piece("<|start|>", True), Piece("u\nhi", False), Piece("<|im_end|>", True))
    assert ids == (300, ord("u"), 299, 301)


def test_a_control_token_spelled_in_text_stays_text() -> None:
    ids = encode(Piece("<|start|>", True), Piece("x<|im_end|>", False), Piece("<|im_end|>", True))
    assert ids == (300, ord("x"), *map(ord, "<|im_end|>"), 301)


def test_a_control_token_forged_across_a_border_stays_text() -> None:
    ids = encode(Piece("<|im_en", False), Piece("<|start|>", True), Piece("d|>", False))
    assert ids == (*map(ord, "<|im_en"), 300, *map(ord, "d|>"))


def test_end_ids_are_the_models_the_formats_and_known_spellings() -> None:
    assert end_ids(VOCABULARY) == {7, 301}
    assert end_ids(VOCABULARY, ("<|start|>", "<|absent|>")) == {7, 300, 301}
