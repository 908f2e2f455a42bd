"""What a GGUF file may say of itself before a native parser sees it: threats.md, section A.2."""

import ctypes
import os
import random
import struct
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from backends.model_checks.checking import check_model
from backends.model_checks.ggml_types import GGML_TYPES
from core.errors import ModelLoadError
from tests.backends.model_checks.gguf_files import (
    ARRAY,
    FLOAT32,
    INT32,
    Q8_0,
    TEXT,
    UINT32,
    UINT64,
    VALUES,
    Gguf,
    Tensor,
    a_text,
    numbers,
    text,
    texts,
    uint32,
    with_metadata,
)
from tests.engines import MODEL

GOOD = Gguf()
LARGEST = 2**64 - 1


def written(folder: Path, content: bytes, name: str = "model.gguf") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def peak_kib() -> int:
    """The most memory that this process had."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0])


def refusal(path: Path) -> str:
    with pytest.raises(ModelLoadError) as caught:
        check_model(path)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 500
    assert str(path.parent) not in message
    return message


def test_a_good_file_is_accepted_and_so_is_the_shipped_model(tmp_path: Path) -> None:
    check_model(written(tmp_path, GOOD.raw))
    check_model(MODEL)


BAD_HEADS = {
    "empty": (b"", "the beginning"),
    "other magic": (replace(GOOD, magic=b"GGML").raw, "no GGUF file"),
    "version 1": (replace(GOOD, version=struct.pack("<I", 1)).raw, "GGUF version 1"),
    "version 4": (replace(GOOD, version=struct.pack("<I", 4)).raw, "GGUF version 4"),
    "big-endian": (replace(GOOD, version=struct.pack(">I", 3)).raw, "big-endian"),
    "absurd number of tensors": (replace(GOOD, num_tensors=LARGEST).raw, "tensors; allowed"),
    "more tensors than bytes": (replace(GOOD, num_tensors=5000).raw, "too short for"),
    "absurd number of keys": (replace(GOOD, num_keys=2**32).raw, "keys; allowed"),
    "more keys than bytes": (replace(GOOD, num_keys=5000).raw, "too short for"),
    "one key too many": (replace(GOOD, num_keys=9, tensors=()).raw, "key"),
    "key longer than the file": (
        replace(GOOD, num_keys=9, more=struct.pack("<Q", 2**62)).raw,
        "key 8 has 4611686018427387904 bytes",
    ),
    "key that is no text": (replace(GOOD, num_keys=9, more=text(b"\xff\xfe")).raw, "UTF-8"),
    "empty key": (replace(GOOD, num_keys=9, more=text("")).raw, "0 bytes"),
    "key twice": (
        replace(GOOD, num_keys=9, more=text("llama.block_count") + uint32(1)).raw,
        "stands there twice",
    ),
    "unknown type": (GOOD.having("x", struct.pack("<II", 13, 0)).raw, "unknown type 13"),
    "text longer than the file": (
        GOOD.having("x", struct.pack("<IQ", TEXT, LARGEST)).raw,
        f"a text of {LARGEST} bytes",
    ),
    "list longer than allowed": (
        GOOD.having("x", numbers(UINT32, 2**61, b"")).raw,
        "items; allowed",
    ),
    "list longer than the file": (GOOD.having("x", numbers(UINT64, 2**20, b"")).raw, "takes"),
    "texts longer than the file": (
        GOOD.having("x", numbers(TEXT, 2, text("a") + struct.pack("<Q", 2**63))).raw,
        "longer than the file",
    ),
    "more texts than the file has": (GOOD.having("x", numbers(TEXT, 2**21, b"")).raw, "x"),
    "list of lists": (GOOD.having("x", numbers(ARRAY, 1, texts("a"))).raw, "unknown type 9"),
    "list of what is unknown": (GOOD.having("x", numbers(99, 1, b"a")).raw, "unknown type 99"),
    "alignment 0": (GOOD.having("general.alignment", uint32(0)).raw, "alignment is 0"),
    "alignment 33": (GOOD.having("general.alignment", uint32(33)).raw, "alignment is 33"),
    "alignment 2^31": (GOOD.having("general.alignment", uint32(2**31)).raw, "powers of two"),
    "alignment of text": (GOOD.having("general.alignment", a_text("32")).raw, "powers of two"),
    "parts without end": (GOOD.having("split.count", uint32(60_000)).raw, "split.count is 60000"),
    "one part of several": (GOOD.having("split.count", uint32(2)).raw, "name the first"),
}


def tensors(*each: Tensor, num_data_bytes: int = 96) -> bytes:
    return replace(GOOD, tensors=each, num_data_bytes=num_data_bytes).raw


BAD_TENSORS = {
    "no dimension": (tensors(Tensor(shape=())), "0 dimensions"),
    "five dimensions": (tensors(Tensor(shape=(1,) * 5)), "5 dimensions"),
    "dimension 0": (tensors(Tensor(shape=(8, 0))), "the shape"),
    "negative dimension": (tensors(Tensor(shape=(8, LARGEST))), "the shape"),
    "shape that overflows": (tensors(Tensor(shape=(2**30, 2**30, 2**4))), "truncated"),
    "unknown type": (tensors(Tensor(kind=77)), "unknown type 77"),
    "removed type": (tensors(Tensor(kind=4)), "unknown type 4"),
    "part of a block": (tensors(Tensor(shape=(8, 3), kind=Q8_0)), "multiples of 32"),
    "offset that is not aligned": (tensors(Tensor(offset=4), num_data_bytes=200), "not aligned"),
    "offset behind the end": (tensors(Tensor(offset=2**40)), "truncated"),
    "offset that overflows": (tensors(Tensor(offset=LARGEST - 31)), "truncated"),
    "two in one place": (tensors(Tensor(), Tensor("other")), "lies on another"),
    "two of one name": (tensors(Tensor(), Tensor(offset=96), num_data_bytes=192), "twice"),
    "name too long": (tensors(Tensor(name="n" * 64)), "64 bytes"),
    "data cut off": (tensors(Tensor(), num_data_bytes=95), "truncated"),
    "no data": (tensors(Tensor(), num_data_bytes=0), "truncated"),
}
TYPES, SCORES = "tokenizer.ggml.token_type", "tokenizer.ggml.scores"
TOKENS = "tokenizer.ggml.tokens"
BAD_MODELS = {
    "no architecture": (GOOD.having("general.architecture", None), "general.architecture is None"),
    "architecture that is a number": (
        GOOD.having("general.architecture", uint32(1)),
        "general.architecture is 1",
    ),
    "architecture that is a path": (
        GOOD.having("general.architecture", a_text("../../etc/passwd")),
        "general.architecture",
    ),
    "projector of images": (GOOD.having("general.type", a_text("mmproj")), "no text model"),
    "adapter": (GOOD.having("general.type", a_text("adapter")), "no text model"),
    "encoder of images": (
        replace(GOOD, values={k: v for k, v in VALUES.items() if not k.startswith("tokenizer")}),
        "no tokenizer",
    ),
    "no context length": (GOOD.having("llama.context_length", None), "context_length is None"),
    "context length 0": (GOOD.having("llama.context_length", uint32(0)), "context_length is 0"),
    "no blocks": (GOOD.having("llama.block_count", None), "block_count is None"),
    "absurd number of blocks": (GOOD.having("llama.block_count", uint32(2**31 - 1)), "blocks"),
    "negative number of blocks": (
        GOOD.having("llama.block_count", struct.pack("<Ii", INT32, -1)),
        "block_count is -1",
    ),
    "no tokens": (GOOD.having(TOKENS, None), "no tokenizer"),
    "empty vocabulary": (GOOD.having(TOKENS, texts()), "no list of texts"),
    "tokens that are numbers": (
        GOOD.having(TOKENS, numbers(UINT32, 3, bytes(12))),
        "no list of texts",
    ),
    "fewer tokens than rows": (GOOD.having(TOKENS, texts("a", "b")), "2 tokens"),
    "more tokens than rows": (GOOD.having(TOKENS, texts(*"abcd")), "4 tokens"),
    "no embedding": (replace(GOOD, tensors=(Tensor("other"),)), "no tensor token_embd.weight"),
    "embedding of one dimension": (replace(GOOD, tensors=(Tensor(shape=(24,)),)), "the shape"),
    "too few scores": (GOOD.having(SCORES, numbers(FLOAT32, 2, bytes(8))), "2 items"),
    "scores of another type": (GOOD.having(SCORES, numbers(0, 3, bytes(3))), "right type"),
    "too few types": (GOOD.having(TYPES, numbers(INT32, 1, bytes(4))), "1 items"),
    "types that are texts": (GOOD.having(TYPES, texts("a", "b", "c")), "right type"),
    "merges that are numbers": (
        GOOD.having("tokenizer.ggml.merges", numbers(UINT32, 1, bytes(4))),
        "merges",
    ),
    "end token outside": (GOOD.having("tokenizer.ggml.eos_token_id", uint32(3)), "3 tokens"),
    "begin token that is text": (
        GOOD.having("tokenizer.ggml.bos_token_id", a_text("a")),
        "bos_token_id is 'a'",
    ),
}


@pytest.mark.parametrize(("content", "words"), BAD_HEADS.values(), ids=BAD_HEADS)
def test_a_bad_head_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    assert words in refusal(written(tmp_path, content))


@pytest.mark.parametrize(("content", "words"), BAD_TENSORS.values(), ids=BAD_TENSORS)
def test_a_bad_tensor_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    assert words in refusal(written(tmp_path, content))


@pytest.mark.parametrize(("file", "words"), BAD_MODELS.values(), ids=BAD_MODELS)
def test_what_is_no_whole_text_model_is_refused(tmp_path: Path, file: Gguf, words: str) -> None:
    assert words in refusal(written(tmp_path, file.raw))


def test_a_token_that_is_said_to_be_none_is_none(tmp_path: Path) -> None:
    check_model(
        written(tmp_path, GOOD.having("tokenizer.ggml.bos_token_id", uint32(2**32 - 1)).raw)
    )


def test_all_parts_of_a_split_file_are_looked_at(tmp_path: Path) -> None:
    first = replace(GOOD.having("split.count", uint32(2)), tensors=(), num_data_bytes=0)
    name = "m-{:05}-of-00002.gguf".format
    path = written(tmp_path, first.raw, name(1))
    assert name(2) in refusal(path)
    second = written(tmp_path, GOOD.raw, name(2))
    check_model(path)
    second.write_bytes(GOOD.raw[:-1])
    assert "truncated" in refusal(path)


def test_pipes_devices_and_folders_are_no_files(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.gguf"
    os.mkfifo(pipe)
    assert "no regular file" in refusal(pipe)
    device = tmp_path / "device.gguf"
    device.symlink_to("/dev/zero")
    assert "no regular file" in refusal(device)
    assert "no config.json" in refusal(tmp_path)


@pytest.mark.timeout(60)
def test_absurd_files_of_any_size_cost_little(tmp_path: Path) -> None:
    """A terabyte of nothing behind heads that announce as much as is allowed."""
    heads = [
        GOOD.having("x", numbers(TEXT, 2**18, b"")).raw[:-96],
        GOOD.having("x", numbers(TEXT, 2**21, struct.pack("<Q", 2**39))).raw[:-96],
        GOOD.having("x", struct.pack("<IQ", TEXT, 2**39)).raw[:-96],
        replace(GOOD, num_tensors=2**16).raw,
        replace(GOOD, num_keys=2**14).raw,
    ]
    # Makes the peak what there is now.
    Path("/proc/self/clear_refs").write_text("5")
    before = peak_kib()
    for head in heads:
        path = written(tmp_path, head)
        os.truncate(path, 2**40)
        refusal(path)
    assert peak_kib() - before < 50 << 10


@pytest.mark.timeout(60)
def test_two_thousand_mutated_heads_end_as_models_or_refusals(tmp_path: Path) -> None:
    head, size = MODEL.read_bytes()[:150_000], MODEL.stat().st_size
    chance = random.Random(7)
    verdicts = {True: 0, False: 0}
    for _ in range(2000):
        path = written(tmp_path, mutated(head, chance))
        if chance.random() < 0.9:
            # Weights are not looked at, only whether they are there.
            os.truncate(path, size)
        verdicts[is_model(path)] += 1
    assert min(verdicts.values()) > 100


def is_model(path: Path) -> bool:
    """Nothing else than a ModelLoadError may come out of it."""
    try:
        check_model(path)
    except ModelLoadError:
        return False
    return True


def mutated(head: bytes, chance: random.Random) -> bytes:
    """The texts of the vocabulary take most of the head, so its first part is hit more often."""
    content = bytearray(head)
    for _ in range(chance.choice((1, 1, 2, 8))):
        at = chance.randrange(chance.choice((32, 1200, len(head))))
        content[at] = chance.choice((0, 0xFF, content[at] ^ 1 << chance.randrange(8)))
    return bytes(content)


# Importing gguf takes seconds on a busy machine.
@pytest.mark.timeout(60)
def test_the_sizes_of_types_are_those_of_gguf_and_of_llama_cpp() -> None:
    from gguf import GGML_QUANT_SIZES

    ours = {number: (each.block_size, each.block_bytes) for number, each in GGML_TYPES.items()}
    theirs = {int(kind): sizes for kind, sizes in GGML_QUANT_SIZES.items()}
    # Of Q8_1, which no file has, gguf has the size from before it changed.
    del theirs[9]
    assert theirs.items() <= ours.items()
    assert ours == native_sizes()


def native_sizes() -> dict[int, tuple[int, int]]:
    """Of the library itself. Types that were removed have no size."""
    import llama_cpp

    folder = Path(llama_cpp.__file__).parent / "lib"
    ending = "dylib" if sys.platform == "darwin" else "so"
    library = ctypes.CDLL(str(folder / f"libggml-base.{ending}"))
    library.ggml_type_size.restype = ctypes.c_size_t
    library.ggml_blck_size.restype = ctypes.c_int64
    sizes = {
        number: (library.ggml_blck_size(number), library.ggml_type_size(number))
        for number in range(max(GGML_TYPES) + 1)
    }
    return {number: found for number, found in sizes.items() if found[1]}


def test_metadata_of_a_real_model_can_be_rewritten(tmp_path: Path) -> None:
    """What other tests stand on."""
    same = with_metadata(tmp_path / "same.gguf")
    assert same.read_bytes() == MODEL.read_bytes()
    assert "context_length is None" in refusal(
        with_metadata(tmp_path / "less.gguf", llama__context_length=None)
    )
