"""An answer whose events are given, for what stands above those who make answers."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass

from core.errors import JarvisError
from core.events import GenerationEvent


@dataclass
class MadeSource:
    """Gives its events, then raises the error, where there is one."""

    made: tuple[GenerationEvent, ...] = ()
    error: JarvisError | None = None
    choice: int = 0
    max_tokens: int | None = None
    num_prompt_tokens: int = 0
    num_completion_tokens: int = 0
    is_closed: bool = False
    queue_s: float | None = None
    num_sent_bytes: int = 0

    async def events(self) -> AsyncGenerator[GenerationEvent, None]:
        try:
            for event in self.made:
                yield event
            if self.error is not None:
                raise self.error
        finally:
            self.is_closed = True
