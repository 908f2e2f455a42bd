"""Bad models end in the state failed with a line that says why, and nothing else ends."""

import asyncio
import random
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from backends.base import Backend, ModelCard, Tokenizer
from backends.choice import open_backend
from backends.delegate import Delegate
from backends.embedding_choice import open_embedding_backend
from backends.llama.options import LlamaOptions
from backends.llama.probing import ChildProbe
from backends.model_checks.checking import check_model
from chat_formats.detection import load_format, template_disagreement
from core.errors import ConfigurationError, EngineUnavailable, ModelLoadError
from core.lifecycle import EngineState, LoadProgress
from core.settings import InferenceEngine
from serving.service import GenerationService, ServingOptions
from tests.backends.model_checks.gguf_files import TEXT, a_text, numbers, uint32, with_metadata
from tests.chat_formats.vocabularies import QWEN
from tests.engines import MODEL, settings_for

CANARY = "the-template-got-out"
LOOP = "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}"
Write = Callable[[Path], object]


def cut(path: Path) -> None:
    path.write_bytes(MODEL.read_bytes()[:1_000_000])


def other_magic(path: Path) -> None:
    path.write_bytes(b"XXXX" + MODEL.read_bytes()[4:])


def absurd_count(path: Path) -> None:
    raw = MODEL.read_bytes()
    path.write_bytes(raw[:8] + b"\xff" * 8 + raw[16:])


def patched(**changes: bytes | None) -> Write:
    return lambda path: with_metadata(path, **changes)


BAD_FILES: dict[str, tuple[Write, str]] = {
    "empty": (lambda path: path.write_bytes(b""), "the beginning"),
    "truncated": (cut, "truncated"),
    "wrong magic": (other_magic, "no GGUF file"),
    "absurd count": (absurd_count, "18446744073709551615 tensors"),
    "absurd text": (patched(general__name=a_text("")[:4] + b"\xff" * 8), "a text of"),
    "absurd list": (patched(tokenizer__ggml__tokens=numbers(TEXT, 2**60, b"")), "items"),
    "no tokenizer": (patched(tokenizer__ggml__tokens=None), "no tokenizer"),
    "end token outside": (patched(tokenizer__ggml__eos_token_id=uint32(4096)), "4096 tokens"),
    "projector": (patched(general__type=a_text("mmproj")), "no text model"),
    # What the check can't know is for the child process that tries the model first.
    "unknown architecture": (patched(general__architecture=a_text("none")), "none.context_length"),
    "other shape": (patched(llama__feed_forward_length=uint32(7)), "could not load"),
}


async def failed(path: Path, cache: Path, engine: str = "llama_cpp", **flags: str) -> str:
    """Why the engine that was to serve the file is in the state failed."""
    settings = settings_for(
        engine, JARVIS_MODEL_NAME=str(path), JARVIS_CACHE_DIR=str(cache), **flags
    )
    changed = asyncio.Event()

    async def opened(report: Callable[[LoadProgress], None]) -> Backend:
        return await open_backend(settings, report)

    delegate = Delegate(engine, opened)
    service = GenerationService(delegate, ServingOptions(settings.chat_format))

    async def adopt(card: ModelCard, tokenizer: Tokenizer) -> None:
        await service.adopt(card, tokenizer)

    delegate.start(adopt, changed.set)
    try:
        while delegate.status.state is EngineState.LOADING:
            changed.clear()
            await changed.wait()
        assert delegate.status.state is EngineState.FAILED
        reason = delegate.status.reason
        assert reason is not None
        assert "\n" not in reason
        with pytest.raises(EngineUnavailable):
            _ = delegate.card
        return reason
    finally:
        await delegate.close()


@pytest.mark.timeout(120)
@pytest.mark.parametrize(("write", "words"), BAD_FILES.values(), ids=BAD_FILES)
async def test_a_bad_file_is_refused_with_its_reason(
    write: Write, words: str, tmp_path: Path, cache: Path
) -> None:
    path = tmp_path / "model.gguf"
    write(path)
    reason = await failed(path, cache)
    assert words in reason
    assert "model.gguf" in reason
    assert str(tmp_path) not in reason


@pytest.mark.parametrize("engine", [InferenceEngine.LLAMA_CPP, InferenceEngine.VLLM])
async def test_embedding_models_are_looked_at_too(engine: InferenceEngine, tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    cut(path)
    with pytest.raises(ModelLoadError, match="truncated"):
        await open_embedding_backend(engine, str(path), settings_for("llama_cpp"))


async def test_a_file_for_vllm_is_looked_at_before_vllm_is_imported(
    tmp_path: Path, cache: Path
) -> None:
    path = tmp_path / "model.gguf"
    cut(path)
    assert "truncated" in await failed(path, cache, "vllm")


@pytest.mark.parametrize("name", ["/dev/random", "/dev/zero"])
async def test_a_device_is_no_model(name: str, cache: Path) -> None:
    assert "is neither a .gguf file nor a folder" in await failed(Path(name), cache)


TEMPLATES = {
    "loops": (LOOP, "did not finish|was ended"),
    "recurses": ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "recursion"),
    "eats memory": ("{% set x = 'x' * 10**12 %}{{ x }}", "memory"),
    "reaches for classes": ("{{ ''.__class__.__mro__[1].__subclasses__() }}", "unsafe"),
    "runs a command": (
        "{{ cycler.__init__.__globals__.os.system('touch CANARY') }}",
        "unsafe",
    ),
    "goes through lipsum": (
        "{{ lipsum.__globals__['os'].popen('touch CANARY').read() }}",
        "unsafe",
    ),
    "goes through a filter": (
        "{{ (''|attr('__class__')).__base__.__subclasses__()[0]('CANARY', 'w') }}",
        "unsafe",
    ),
    "goes through a format": (
        "{{ '{0.__class__.__init__.__globals__}'.format(cycler) }}",
        "unsafe",
    ),
    "is none": ("{% for", "can't be compiled"),
}


@pytest.mark.timeout(60)
@pytest.mark.parametrize(("template", "words"), TEMPLATES.values(), ids=TEMPLATES)
def test_no_format_is_made_of_a_hostile_template(template: str, words: str, tmp_path: Path) -> None:
    canary = tmp_path / CANARY
    with pytest.raises(ConfigurationError) as caught:
        load_format("auto", QWEN, template.replace("CANARY", str(canary)))
    assert re.search(words, str(caught.value))
    assert not canary.exists()
    if "compiled" not in words:
        # An operator can still name a format: the template is told of, and not used.
        chatml = load_format("chatml", QWEN, template)
        assert re.search(words, template_disagreement(chatml, template, QWEN) or "")


@pytest.mark.engine
@pytest.mark.parametrize("kind", ["loops", "runs a command"])
async def test_a_hostile_template_of_a_model_is_a_reason_and_never_runs(
    kind: str, tmp_path: Path, cache: Path
) -> None:
    template, words = TEMPLATES[kind]
    canary = tmp_path / CANARY
    source = template.replace("CANARY", str(canary))
    path = with_metadata(tmp_path / "model.gguf", tokenizer__chat_template=a_text(source))
    reason = await failed(path, cache)
    assert re.search(words, reason)
    assert not canary.exists()


@pytest.mark.long
@pytest.mark.engine
async def test_what_passes_the_check_of_mutated_files_ends_in_the_child_or_works(
    tmp_path: Path,
) -> None:
    """No file that passes may end this process."""
    raw, chance = MODEL.read_bytes(), random.Random(3)
    num_tried = 0
    while num_tried < 20:
        content = bytearray(raw)
        for _ in range(4):
            content[chance.randrange(24, 1200)] ^= 1 << chance.randrange(8)
        path = tmp_path / f"{num_tried}.gguf"
        path.write_bytes(content)
        try:
            check_model(path)
        except ModelLoadError:
            continue
        num_tried += 1
        try:
            await ChildProbe(LlamaOptions(path, "model"), tmp_path / "cache").run()
        except ModelLoadError:
            continue
