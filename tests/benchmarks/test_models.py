"""Models with random weights: small ones load in llama.cpp, and their answers don't end."""

from pathlib import Path

import pytest
from llama_cpp import Llama

from benchmarks.models.gguf_files import write_endless_copy, write_random_model
from benchmarks.models.shapes import SHAPES, Answers, Shape
from benchmarks.models.vocabulary import CONTROLS, Vocabulary
from benchmarks.models.weights import planned

ROOT = Path(__file__).resolve().parents[2]
ASCII = [chr(code) for code in range(ord("!"), ord("~") + 1)]
TOKENS = (*ASCII, "Ġ", "Ċ", "é", "th", "Ġa", "Ġth", *CONTROLS)
VOCABULARY = Vocabulary(TOKENS, ("t h", "Ġ a", "Ġ th"))
NUM_TOKENS = 60


def tiny(**changes: object) -> Shape:
    sizes = {"layers": 2, "width": 64, "heads": 2, "kv_heads": 1, "feed_forward": 96}
    known = {**sizes, "vocabulary": len(TOKENS), "weights": "Q8_0", **changes}
    return Shape(**known)  # type: ignore[arg-type]


def greedy(path: Path, num_tokens: int = NUM_TOKENS) -> list[int]:
    model = Llama(str(path), n_ctx=256, n_threads=1, verbose=False)
    prompt = model.tokenize(b"the data", add_bos=False)
    found = model.generate(prompt, temp=0)
    ids = [next(found) for _ in range(num_tokens)]
    model.close()
    return ids


@pytest.mark.parametrize("weights", ["Q8_0", "Q4_0", "F32"])
def test_a_small_one_loads_and_never_ends_its_answer(tmp_path: Path, weights: str) -> None:
    path = tmp_path / "small.gguf"
    write_random_model(tiny(weights=weights), VOCABULARY, path)
    assert not set(greedy(path)) & set(VOCABULARY.unprintable_ids)


def test_the_same_shape_gives_the_same_file(tmp_path: Path) -> None:
    paths = [tmp_path / name / "m.gguf" for name in "ab"]
    for path in paths:
        write_random_model(tiny(), VOCABULARY, path)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert len(list(paths[0].parent.iterdir())) == 1


def test_a_repeating_one_repeats(tmp_path: Path) -> None:
    path = tmp_path / "small.gguf"
    write_random_model(tiny(answers=Answers.REPEATED), VOCABULARY, path)
    ids = greedy(path, 100)
    assert len(set(ids)) <= 48
    assert ids[:20] in [ids[start : start + 20] for start in range(20, 80)]


def test_unprintable_tokens_are_known() -> None:
    shown = [TOKENS[index] for index in VOCABULARY.unprintable_ids]
    assert shown == ["é", *CONTROLS]


def test_the_shipped_model_made_endless_keeps_its_answer(tmp_path: Path) -> None:
    path = tmp_path / "endless.gguf"
    write_endless_copy(ROOT / "models" / "jarvis-tiny.gguf", path)
    shipped, endless = greedy(ROOT / "models" / "jarvis-tiny.gguf", 40), greedy(path, 40)
    ends = [index for index, token in enumerate(shipped) if token >= 4080 - 16]
    assert endless[: ends[0] if ends else 40] == shipped[: ends[0] if ends else 40]
    assert max(endless) < 4080 - 16


def test_sizes_are_as_their_names_say() -> None:
    sizes = {name: round(shape.num_parameters / 1e6) for name, shape in SHAPES.items()}
    assert sizes == {"140m": 141, "140m-repeated": 141, "1b": 1100}
    assert len(planned(SHAPES["1b"])) == 3 + 22 * 9
