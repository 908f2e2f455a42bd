"""Owns the kinds of value that a setting can have and how text becomes one. Knows no variable."""

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator

BUILT_IN_CHAT_FORMATS = (
    "auto",
    "chatml",
    "llama3",
    "mistral",
    "mistral-v1",
    "mistral-v3",
    "mistral-tekken",
    "model",
)


class InferenceEngine(StrEnum):
    """Which engine holds the model. REMOTE: none here, other servers answer."""

    LLAMA_CPP = "llama_cpp"
    VLLM = "vllm"
    REMOTE = "remote"


class Accelerator(StrEnum):
    """What the engines are built for. AUTO: cuda or metal where found, else cpu."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"
    METAL = "metal"
    ROCM = "rocm"
    VULKAN = "vulkan"


class LogFormat(StrEnum):
    """TEXT: lines for people. JSON: one object a line."""

    TEXT = "text"
    JSON = "json"


class KvCacheType(StrEnum):
    """The number format of llama.cpp's KV cache."""

    AUTO = "auto"
    F32 = "f32"
    F16 = "f16"
    BF16 = "bf16"
    Q8_0 = "q8_0"
    Q4_0 = "q4_0"


class FlashAttention(StrEnum):
    """Whether llama.cpp computes attention in its fused form."""

    AUTO = "auto"
    ON = "on"
    OFF = "off"


class KvLayout(StrEnum):
    """Whether sequences have KV cells of their own or share them. AUTO: own where memory allows."""

    AUTO = "auto"
    SEPARATE = "separate"
    SHARED = "shared"


class Speculation(StrEnum):
    """Whether what comes next is guessed from the text before. AUTO: where it pays."""

    AUTO = "auto"
    OFF = "off"


class VllmDtype(StrEnum):
    """The number format that vLLM computes in. AUTO: the model's own."""

    AUTO = "auto"
    HALF = "half"
    FLOAT16 = "float16"
    BFLOAT16 = "bfloat16"
    FLOAT = "float"
    FLOAT32 = "float32"


class ExecutorBackend(StrEnum):
    """How vLLM runs its workers."""

    UNI = "uni"
    MP = "mp"
    RAY = "ray"


class LogLevel(StrEnum):
    """The least severe line of an engine that is shown."""

    DEBUG = "DEBUG"
    INFO = "INFO"
    WARNING = "WARNING"
    ERROR = "ERROR"


def _upper(value: object) -> object:
    return value.upper() if isinstance(value, str) else value


def _names(value: object) -> object:
    if isinstance(value, str):
        return tuple(name.strip() for name in value.split(",") if name.strip())
    return value


def _json_object(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        parsed = json.loads(value)
    except json.JSONDecodeError as error:
        raise ValueError(f"not valid JSON ({error.msg} at character {error.pos + 1})") from None
    if not isinstance(parsed, dict):
        raise ValueError('a JSON object is wanted, such as {"name": 1}')
    return parsed


def _chat_format(value: str) -> str:
    if value in BUILT_IN_CHAT_FORMATS:
        return value
    if not value.endswith((".jinja", ".jinja2", ".j2")):
        names = ", ".join(BUILT_IN_CHAT_FORMATS)
        raise ValueError(f"allowed: {names}, or the path of a .jinja file")
    if not Path(value).expanduser().is_file():
        raise ValueError("there is no such file")
    return value


def _user_path(value: Path) -> Path:
    return value.expanduser()


LogLevelName = Annotated[LogLevel, BeforeValidator(_upper)]
Names = Annotated[tuple[str, ...], BeforeValidator(_names)]
JsonObject = Annotated[dict[str, Any], BeforeValidator(_json_object)]
ChatFormatName = Annotated[str, AfterValidator(_chat_format)]
UserPath = Annotated[Path, AfterValidator(_user_path)]
