"""No text ends the process, though llama.cpp's matcher of words calls itself for each character.

Each runs in a process of its own, over the shipped model with the words of another vocabulary.
"""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from backends.undivided_text import LONGEST_STRETCH

ROOT = Path(__file__).parents[3]
MODEL = ROOT / "models" / "jarvis-tiny.gguf"
PROGRAM = """
import ctypes, sys, threading
import llama_cpp
from backends.llama.tokenizer import LlamaTokenizer

model_path, kind, character, count, *plain = sys.argv[1:]
overrides = (llama_cpp.llama_model_kv_override * 2)()
overrides[0].tag = llama_cpp.LLAMA_KV_OVERRIDE_TYPE_STR
overrides[0].key = b"tokenizer.ggml.pre"
ctypes.memmove(ctypes.addressof(overrides[0].value), kind.encode() + b"\\0", len(kind) + 1)
llama_cpp.llama_backend_init()
options = llama_cpp.llama_model_default_params()
options.vocab_only = True
options.kv_overrides = overrides
model = llama_cpp.llama_model_load_from_file(model_path.encode(), options)
vocabulary = llama_cpp.llama_model_get_vocab(model)

class Native:
    def tokenize(self, text, *, parse_control):
        ids = (ctypes.c_int32 * len(text))()
        num = llama_cpp.llama_tokenize(
            vocabulary, text, len(text), ids, len(text), False, parse_control
        )
        return ids[:num]

def work():
    text = (character * int(count))[: int(count)]
    if plain:
        ids = Native().tokenize(text.encode(), parse_control=False)
    else:
        ids = LlamaTokenizer(Native()).encode(text, with_control=False)
    print(len(ids), flush=True)

thread = threading.Thread(target=work)
thread.start()
thread.join()
"""
# By their `tokenizer.ggml.pre`: of Mistral, gpt-oss, Llama 4, DeepSeek and others.
KINDS = (
    *("tekken", "gpt-4o", "llama4", "deepseek-llm", "deepseek-v3", "deepseek-coder", "falcon"),
    *("default", "bailingmoe", "seed-coder", "hunyuan-dense", "minimax-m2", "viking", "bloom"),
    *("poro-chat", "gpt3-finnish"),
)
RUNS = ("a", "1", " ", "!", "ab1-", "漢", "e\u0301", " \n")

pytestmark = pytest.mark.engine


def tokenized(
    kind: str, run: str, count: int, *, is_plain: bool = False
) -> subprocess.CompletedProcess[str]:
    words = [str(MODEL), kind, run, str(count), *(["plain"] if is_plain else [])]
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


def test_the_longest_word_is_tokenized() -> None:
    done = tokenized("tekken", "a", LONGEST_STRETCH)
    assert (done.returncode, done.stdout) == (0, f"{LONGEST_STRETCH}\n"), done.stderr[-500:]


def test_on_a_common_stack_it_would_end_the_process() -> None:
    assert tokenized("tekken", "a", LONGEST_STRETCH, is_plain=True).returncode == -signal.SIGSEGV


@pytest.mark.long
@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize("kind", KINDS)
def test_the_longest_of_each_kind_is_tokenized(kind: str, run: str) -> None:
    done = tokenized(kind, run, LONGEST_STRETCH)
    assert done.returncode == 0, done.stderr[-500:]
    assert int(done.stdout) > 0
