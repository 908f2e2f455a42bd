"""That vLLM's own server is given the engine that ours has."""

from pathlib import Path

import pytest

from benchmarks.servers import vllm_launch
from benchmarks.servers.base import Setup

MODEL = Path(__file__).resolve().parents[2] / "models" / "jarvis-tiny.gguf"


@pytest.mark.engine
@pytest.mark.filterwarnings("default")
def test_the_flags_are_those_that_vllm_reads() -> None:
    from vllm.engine.arg_utils import AsyncEngineArgs
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    flags = vllm_launch.flags(Setup(MODEL, 3, 512, threads=1, checkout=MODEL.parents[1]))
    parser = AsyncEngineArgs.add_cli_args(FlexibleArgumentParser())
    read = AsyncEngineArgs.from_cli_args(parser.parse_args(flags))
    assert (read.max_num_seqs, read.max_model_len, read.dtype) == (3, 512, "float32")
    assert read.logits_processors == ["backends.vllm_engine.seeded_draws:SeededDraws"]
    assert read.structured_outputs_config.backend == "guidance"
