"""The engines as a Python library, without HTTP: what users import. docs/library.md tells more."""

from core.errors import (
    ConfigurationError,
    ContextLengthExceeded,
    EngineFailed,
    EngineUnavailable,
    InvalidConversation,
    InvalidValue,
    JarvisError,
    ModelLoadError,
    ModelNotServed,
    RequestError,
    UnsupportedField,
    UpstreamFailed,
    UpstreamRefused,
)
from core.events import (
    AnswerPart,
    FinishReason,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
)
from core.messages import Message, Tool
from core.upstreams import Upstream, UpstreamKind, UpstreamPlan
from jarvis.async_engine import AsyncEngine
from jarvis.async_stream import AsyncStream
from jarvis.config import EngineConfig
from jarvis.engine import Engine
from jarvis.options import ChatOptions, Options
from jarvis.results import ChatResult, Completion, ToolCall, Usage
from jarvis.stream import Stream

__all__ = [
    "AnswerPart",
    "AsyncEngine",
    "AsyncStream",
    "ChatOptions",
    "ChatResult",
    "Completion",
    "ConfigurationError",
    "ContextLengthExceeded",
    "Engine",
    "EngineConfig",
    "EngineFailed",
    "EngineUnavailable",
    "FinishReason",
    "InvalidConversation",
    "InvalidValue",
    "JarvisError",
    "Message",
    "ModelLoadError",
    "ModelNotServed",
    "Options",
    "ReasoningDelta",
    "RequestError",
    "Stream",
    "TextDelta",
    "Tool",
    "ToolCall",
    "ToolCallDelta",
    "ToolCallStarted",
    "UnsupportedField",
    "Upstream",
    "UpstreamFailed",
    "UpstreamKind",
    "UpstreamPlan",
    "UpstreamRefused",
    "Usage",
]
