"""Settings become engine arguments; extra ones are checked by name."""

from pathlib import Path

import pytest

from backends.vllm_engine.engine_args import (
    EngineModel,
    compute_dtype,
    engine_args,
    unsupported_fields,
)
from backends.vllm_engine.worker_heap import EXTENSION
from core.errors import ConfigurationError
from core.settings import Settings, load_settings

KNOWN = ("block_size", "trust_remote_code", "kv_cache_dtype", "model", "generation_config")
FOLDER = Path("/models/m")


def settings(**flags: str) -> Settings:
    named = {f"JARVIS_{name}": value for name, value in flags.items()}
    return load_settings({"JARVIS_INFERENCE_ENGINE": "vllm", **named}, environ={}, env_file=None)


def arguments(known: tuple[str, ...] = KNOWN, **flags: str) -> dict[str, object]:
    model = EngineModel(FOLDER, FOLDER, "float32")
    return engine_args(settings(**flags), model, known, is_cpu=True)


def test_vllms_own_rules_are_off() -> None:
    args = arguments()
    assert args["generation_config"] == "vllm"
    assert args["structured_outputs_config"] == {"backend": "guidance"}
    assert args["dtype"] == "float32"
    assert args["scheduling_policy"] == "priority"
    assert "trust_remote_code" not in args
    assert "max_num_seqs" not in args


def test_what_is_set_is_passed_on() -> None:
    args = arguments(VLLM_MAX_NUM_SEQS="7", VLLM_DISTRIBUTED_EXECUTOR_BACKEND="mp")
    assert args["max_num_seqs"] == 7
    assert args["distributed_executor_backend"] == "mp"


def test_compiling_on_a_cpu_is_for_those_who_ask_for_it() -> None:
    assert arguments()["enforce_eager"] is True
    assert arguments(VLLM_ENFORCE_EAGER="false")["enforce_eager"] is False


def test_workers_on_a_cpu_get_a_call_of_ours_unless_they_have_another() -> None:
    assert arguments()["worker_extension_cls"] == EXTENSION
    known = (*KNOWN, "worker_extension_cls")
    own = '{"worker_extension_cls": "mine.Mine"}'
    assert arguments(known, VLLM_EXTRA_ARGS=own)["worker_extension_cls"] == "mine.Mine"
    model = EngineModel(FOLDER, FOLDER, "float32")
    assert "worker_extension_cls" not in engine_args(settings(), model, KNOWN, is_cpu=False)


def test_extra_arguments_are_passed_on() -> None:
    assert arguments(VLLM_EXTRA_ARGS='{"block_size": 32}')["block_size"] == 32


def test_an_unknown_extra_argument_is_refused_with_near_names() -> None:
    with pytest.raises(ConfigurationError, match="blok_size; did you mean block_size"):
        arguments(VLLM_EXTRA_ARGS='{"blok_size": 32}')


def test_an_extra_argument_with_a_variable_of_its_own_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="set JARVIS_MODEL_NAME instead"):
        arguments(VLLM_EXTRA_ARGS='{"model": "other"}')


def test_an_extra_argument_that_the_seam_rests_on_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="the proxy itself decides"):
        arguments(VLLM_EXTRA_ARGS='{"generation_config": "auto"}')


@pytest.mark.parametrize(
    ("setting", "own", "dtype"),
    [
        ("auto", "float32", "float32"),
        ("auto", "float16", "float16"),
        ("auto", None, "bfloat16"),
        ("auto", "float8_e4m3fn", "bfloat16"),
        ("half", "float32", "float16"),
        ("float", "bfloat16", "float32"),
        ("bfloat16", "float32", "bfloat16"),
    ],
)
def test_the_number_format_is_the_set_one_else_the_models_own(
    setting: str, own: str | None, dtype: str
) -> None:
    assert compute_dtype(settings(VLLM_DTYPE=setting), own) == dtype


def test_seeds_need_a_processor_that_speculative_decoding_does_not_allow() -> None:
    plain = settings()
    assert arguments()["logits_processors"] == ["backends.vllm_engine.seeded_draws:SeededDraws"]
    assert unsupported_fields(plain) == frozenset()
    speculative = '{"method": "ngram", "num_speculative_tokens": 2}'
    assert "logits_processors" not in arguments(VLLM_SPECULATIVE_CONFIG=speculative)
    refused = unsupported_fields(settings(VLLM_SPECULATIVE_CONFIG=speculative))
    assert refused == {"seed", "min_p", "logit_bias"}
