"""The child process that tries a model: loads it, computes a few tokens, and exits.

Exit code 0: it works. 1: it does not, with the reason as the last line on stdout. A native crash
ends it by a signal, which the parent reads. Knows no server.
"""

import dataclasses
import json
import sys
from pathlib import Path

from backends.llama import native_environment
from backends.llama.options import LlamaOptions
from backends.llama.plan import StepPlan, Work
from backends.parent_watch import end_with_parent
from core.errors import JarvisError
from core.setting_types import FlashAttention, KvCacheType, KvLayout

_NUM_TRIED = 32


def read_options(text: str) -> LlamaOptions:
    """The inverse of `json.dumps(asdict(options), default=str)`."""
    fields = json.loads(text)
    return LlamaOptions(
        **{
            **fields,
            "model_path": Path(fields["model_path"]),
            "cache_type": KvCacheType(fields["cache_type"]),
            "layout": KvLayout(fields["layout"]),
            "flash_attention": FlashAttention(fields["flash_attention"]),
        }
    )


def try_model(options: LlamaOptions) -> None:
    """A prompt chunk and one decode: the two shapes that take different kernels."""
    native_environment.prepare()
    # Here and not at the top: importing the bindings loads the native library.
    from backends.llama.bindings import LogRoute
    from backends.llama.runner import Runner

    route = LogRoute(options.log_level)
    small = dataclasses.replace(
        options, context_window=256, kv_tokens=256, num_slots=1, batch_tokens=_NUM_TRIED
    )
    runner = Runner(small, lambda _share: True, route)
    chunk = Work(key=0, slot=0, start=0, token_ids=(0,) * _NUM_TRIED, num_rows=1)
    step = Work(key=0, slot=0, start=_NUM_TRIED, token_ids=(0,), num_rows=1)
    runner.run(StepPlan((), (chunk,)))
    runner.run(StepPlan((), (step,)))
    runner.close()
    route.close()


def main() -> int:
    end_with_parent(int(sys.argv[2]))
    try:
        try_model(read_options(sys.argv[1]))
    except JarvisError as error:
        sys.stdout.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
