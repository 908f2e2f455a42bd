"""A backend that follows a script, for tests of what stands above the seam. Computes nothing."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable

from backends.base import ModelCard, Tokenizer, TokenRequest, TokenStep, refuse_too_long
from core.engine_stats import EngineStats
from core.errors import EngineFailed, EngineUnavailable
from core.events import FinishReason
from core.lifecycle import LoadProgress
from core.scores import ScoredToken
from core.vocabulary import Vocabulary

CONTROL_TOKENS = ("<|im_start|>", "<|im_end|>", "<|endoftext|>")
END_ID = 256 + CONTROL_TOKENS.index("<|im_end|>")
_NUM_SLOTS = 64
_NUM_IDS = 256 + len(CONTROL_TOKENS)
Script = Callable[[TokenRequest], Iterable[int]]


def byte_vocabulary() -> Vocabulary:
    """An id a byte, then the control tokens of chatml."""
    pieces = [bytes([byte]) for byte in range(256)]
    pieces += [token.encode() for token in CONTROL_TOKENS]
    return Vocabulary(
        pieces=tuple(pieces),
        control_ids=frozenset(range(256, len(pieces))),
        bos_id=None,
        eos_id=END_ID,
        metadata_end_ids=frozenset({END_ID}),
        add_bos=False,
    )


class ByteTokenizer:
    """Implements `backends.base.Tokenizer` for `byte_vocabulary`."""

    def encode(self, text: str, *, with_control: bool) -> list[int]:
        ids: list[int] = []
        while text:
            token = next((t for t in CONTROL_TOKENS if with_control and text.startswith(t)), None)
            if token is None:
                ids += text[0].encode("utf-8", "replace")
            else:
                ids.append(256 + CONTROL_TOKENS.index(token))
            text = text[len(token or text[0]) :]
        return ids


class ScriptedBackend:
    """Emits the ids that `script` gives for a request, one a step, as any engine would.

    `gate`, where given, is awaited before each step. `count_cached` tells how many ids of a
    request's prompt count as reused. `requests` are those that were taken, `num_live` counts
    sequences under way.
    """

    def __init__(
        self,
        script: Script,
        *,
        context_window: int = 4096,
        gate: Callable[[], asyncio.Future[None]] | None = None,
        count_cached: Callable[[TokenRequest], int] = lambda _: 0,
        num_slots: int = _NUM_SLOTS,
    ) -> None:
        self._script = script
        self._gate = gate
        self._count_cached = count_cached
        self._card = ModelCard(
            name="scripted",
            vocabulary=byte_vocabulary(),
            context_window=context_window,
            num_slots=num_slots,
            chat_template=None,
            is_byte_level=True,
            engine_build="scripted",
            weights_digest="",
        )
        self._is_started = False
        # Whether it lets itself be ended while it hangs.
        self.can_be_abandoned = True
        self._failure: asyncio.Future[str] | None = None
        self._num_held = self._num_steps = 0
        self._num_looked_up = self._num_found = 0
        self.num_live = 0
        self.requests: list[TokenRequest] = []

    async def start(self, report: Callable[[LoadProgress], None]) -> None:
        report(LoadProgress("reading the script", 0.0))
        await asyncio.sleep(0)
        self._failure = asyncio.get_running_loop().create_future()
        self._is_started = True
        report(LoadProgress("reading the script", 1.0))

    @property
    def card(self) -> ModelCard:
        self._refuse_unless_started()
        return self._card

    @property
    def tokenizer(self) -> Tokenizer:
        self._refuse_unless_started()
        return ByteTokenizer()

    @property
    def stats(self) -> EngineStats:
        """A step is one id of one sequence."""
        return EngineStats(
            num_running=self.num_live,
            kv_cache_usage=min(self._num_held / (_NUM_SLOTS * self._card.context_window), 1.0),
            prefix_queries=self._num_looked_up,
            prefix_hits=self._num_found,
            num_steps=self._num_steps,
        )

    async def generate(self, request: TokenRequest) -> AsyncGenerator[TokenStep, None]:
        self._refuse_unless_started()
        refuse_too_long(request, self._card)
        self.num_live += 1
        self.requests.append(request)
        num_cached = self._count_cached(request)
        if request.num_prompt_logprobs is None:
            self._num_looked_up += len(request.prompt_ids)
            self._num_found += num_cached
        num_held = len(request.prompt_ids)
        self._num_held += num_held
        try:
            for position, token_id in enumerate(self._script(request), start=1):
                await self._before_step()
                num_held += 1
                self._num_held += 1
                self._num_steps += 1
                finish = _finish(request, token_id, position)
                scores = _scores((token_id,), request.num_logprobs)
                of_prompt = request.prompt_ids[1:] if position == 1 else ()
                prompt_scores = _scores(of_prompt, request.num_prompt_logprobs)
                yield TokenStep((token_id,), finish, num_cached, scores, prompt_scores)
                if finish is not None:
                    return
        finally:
            self.num_live -= 1
            self._num_held -= num_held

    async def wait_failed(self) -> str:
        self._refuse_unless_started()
        assert self._failure is not None
        return await asyncio.shield(self._failure)

    async def close(self) -> None:
        self._is_started = False

    def fail(self, reason: str) -> None:
        """Dies as an engine does: live requests get EngineFailed, `wait_failed` returns."""
        assert self._failure is not None
        if not self._failure.done():
            self._failure.set_result(reason)

    async def abandon(self, reason: str) -> bool:
        """Ends what waits at the gate, as where an engine hangs."""
        self.fail(reason)
        return self.can_be_abandoned

    async def _before_step(self) -> None:
        if self._gate is not None and self._failure is not None:
            await self._pass(asyncio.ensure_future(self._gate()), self._failure)
        await asyncio.sleep(0)
        if self._failure is not None and self._failure.done():
            raise EngineFailed(self._failure.result())
        if not self._is_started:
            raise EngineFailed("the engine was closed")

    async def _pass(self, gate: asyncio.Future[None], failure: asyncio.Future[str]) -> None:
        both: set[asyncio.Future[None] | asyncio.Future[str]] = {gate, failure}
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        finally:
            is_open = gate.done()
            gate.cancel()
        if is_open:
            await gate

    def _refuse_unless_started(self) -> None:
        if not self._is_started:
            raise EngineUnavailable("the script has not been read")


def _scores(token_ids: tuple[int, ...], num_top: int | None) -> tuple[ScoredToken, ...]:
    """As if each id were the second best: the next one is better, those before it come after."""
    if num_top is None:
        return ()
    return tuple(
        ScoredToken(
            token_id,
            -2.0,
            2,
            tuple(
                ((token_id + 2 - rank) % _NUM_IDS, -float(rank)) for rank in range(1, num_top + 1)
            ),
        )
        for token_id in token_ids
    )


def _finish(request: TokenRequest, token_id: int, position: int) -> FinishReason | None:
    if token_id in request.end_ids:
        return FinishReason.STOP
    return FinishReason.LENGTH if position == request.max_tokens else None
