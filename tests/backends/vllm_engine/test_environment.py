"""What vLLM is told through the environment."""

from backends.vllm_engine.environment import prepare_environment
from core.settings import load_settings


def prepared(environ: dict[str, str]) -> dict[str, str]:
    flags = {"JARVIS_VLLM_CPU_KVCACHE_GIB": "3", "VLLM_LOGGING_LEVEL": "error"}
    prepare_environment(load_settings(flags, environ={}, env_file=None), environ)
    return environ


def test_settings_go_before_what_is_there() -> None:
    environ = prepared({"VLLM_LOGGING_LEVEL": "DEBUG", "VLLM_CPU_KVCACHE_SPACE": "9"})
    assert environ["VLLM_LOGGING_LEVEL"] == "ERROR"
    assert environ["VLLM_CPU_KVCACHE_SPACE"] == "3"


def test_nothing_is_told_about_the_user() -> None:
    environ = prepared({})
    assert environ["VLLM_NO_USAGE_STATS"] == environ["DO_NOT_TRACK"] == "1"
    assert environ["HF_HUB_OFFLINE"] == "1"
    assert "HF_TOKEN" not in environ


def test_a_thread_binding_of_the_users_own_is_kept() -> None:
    assert prepared({"VLLM_CPU_OMP_THREADS_BIND": "2-5"})["VLLM_CPU_OMP_THREADS_BIND"] == "2-5"
