"""Which ids a grammar allows, over a vocabulary of single bytes and a few words."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest

from backends.llama.grammar_masks import GrammarCompiler, GrammarMask
from core.errors import EngineFailed
from core.grammar import Grammar, GrammarKind
from core.vocabulary import Vocabulary

BYTES = tuple(bytes([value]) for value in range(256))
WORDS = (b"cat", b"ca", b"true", b"fals")
EOS_ID = 260
CONTROL_ID = 261
PIECES = (*BYTES, *WORDS, b"<end>", b"cat")
VOCABULARY = Vocabulary(
    pieces=PIECES,
    control_ids=frozenset({EOS_ID, CONTROL_ID}),
    bos_id=None,
    eos_id=EOS_ID,
    metadata_end_ids=frozenset(),
    add_bos=False,
)


class ByteTokenizer:
    """Text to the ids of its bytes."""

    def encode(self, text: str, *, with_control: bool) -> Sequence[int]:
        assert not with_control
        return list(text.encode())


@pytest.fixture
def compiler() -> Iterator[GrammarCompiler]:
    compiler = GrammarCompiler(VOCABULARY, ByteTokenizer())
    yield compiler
    compiler.close()


def begun(compiler: GrammarCompiler, kind: GrammarKind, text: str) -> GrammarMask:
    return compiler.start(Grammar(kind, text)).result()


def allowed(mask: GrammarMask) -> set[bytes]:
    return {PIECES[at] for at, is_allowed in enumerate(mask.mask()) if is_allowed}


def write(mask: GrammarMask, text: bytes) -> None:
    for byte in text:
        assert mask.mask()[byte], text
        mask.accept(byte)


def test_words_that_begin_what_matches_are_allowed_and_control_ids_are_not(
    compiler: GrammarCompiler,
) -> None:
    mask = begun(compiler, GrammarKind.REGEX, "cats?|dog")
    assert allowed(mask) == {b"c", b"d", b"ca", b"cat"}
    assert not mask.mask()[CONTROL_ID], "a control id is not its text"
    mask.accept(PIECES.index(b"ca"))
    assert allowed(mask) == {b"t"}


def test_the_end_is_allowed_where_the_grammar_may_end_and_alone_once_it_has(
    compiler: GrammarCompiler,
) -> None:
    mask = begun(compiler, GrammarKind.REGEX, "cats?|dog")
    write(mask, b"cat")
    assert allowed(mask) == {b"s", b"<end>"}
    write(mask, b"s")
    assert allowed(mask) == {b"<end>"}
    mask.accept(EOS_ID)
    assert allowed(mask) == {b"<end>"}


def test_schemas_allow_white_space_and_grammars_are_lark(compiler: GrammarCompiler) -> None:
    schema = begun(compiler, GrammarKind.JSON_SCHEMA, '{"type": "array", "items": {"enum": [1]}}')
    assert {b"[", b" "} >= allowed(schema) >= {b"["}
    write(schema, b"[")
    assert {b" ", b"1", b"]", b"\n"} <= allowed(schema)
    lark = begun(compiler, GrammarKind.LARK, 'start: ("ca" | "t")+')
    assert allowed(lark) == {b"c", b"ca", b"cat", b"t"}


def test_sequences_of_one_grammar_are_followed_apart(compiler: GrammarCompiler) -> None:
    masks = [begun(compiler, GrammarKind.REGEX, "[ab]{3}") for _ in range(20)]
    for at, mask in enumerate(masks):
        write(mask, b"aba"[: at % 4])
    for at, mask in enumerate(masks):
        assert allowed(mask) == ({b"<end>"} if at % 4 == 3 else {b"a", b"b"})


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (GrammarKind.REGEX, "("),
        (GrammarKind.LARK, "start: nothing"),
        (GrammarKind.JSON_SCHEMA, '{"type": "wrong"}'),
    ],
)
def test_what_does_not_compile_fails_alone_with_a_reason_in_one_line(
    compiler: GrammarCompiler, kind: GrammarKind, text: str
) -> None:
    with pytest.raises(EngineFailed, match="the grammar failed: ") as failed:
        begun(compiler, kind, text)
    assert "\n" not in str(failed.value)
    assert allowed(begun(compiler, GrammarKind.REGEX, "a")) == {b"a"}


def test_a_model_without_an_end_is_refused() -> None:
    compiler = GrammarCompiler(replace(VOCABULARY, eos_id=None), ByteTokenizer())
    with pytest.raises(EngineFailed, match="no end-of-text token"):
        begun(compiler, GrammarKind.REGEX, "a")
    compiler.close()
