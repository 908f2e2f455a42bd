"""Settings: the order of the layers, what is refused and how, and `.env.example`."""

import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from core.errors import ConfigurationError
from core.settings import InferenceEngine, KvCacheType, LogLevel, Settings, load_settings
from core.settings_sources import variable_of

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / ".env.example"
VARIABLES = {variable_of(field): field for field in Settings.model_fields}


def loaded(**environ: str) -> Settings:
    return load_settings({}, environ=environ, env_file=None)


def loaded_from(env_file: Path, **environ: str) -> Settings:
    return load_settings({}, environ=environ, env_file=env_file)


def refusal(**environ: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        loaded(**environ)
    return str(caught.value)


def example_lines() -> list[str]:
    return EXAMPLE.read_text().splitlines()


def test_nothing_given_means_the_defaults() -> None:
    settings = loaded()
    assert settings.inference_engine is InferenceEngine.LLAMA_CPP
    assert (settings.host, settings.port) == ("127.0.0.1", 8000)


def test_flags_win_over_the_environment_which_wins_over_the_file(tmp_path: Path) -> None:
    env_file = tmp_path / ".env"
    env_file.write_text("JARVIS_PORT=1\nJARVIS_HOST=file\nJARVIS_MODEL_NAME=file\n")
    environ = {"JARVIS_PORT": "2", "JARVIS_HOST": "environment"}
    settings = load_settings({"JARVIS_PORT": "3"}, environ=environ, env_file=env_file)
    assert (settings.port, settings.host, settings.model_name) == (3, "environment", "file")


def test_an_empty_value_means_the_default(tmp_path: Path) -> None:
    env_file = tmp_path / ".env"
    env_file.write_text("JARVIS_PORT=\nJARVIS_LLAMA_KV_TOKENS=   \nHF_TOKEN\n")
    settings = loaded_from(env_file, JARVIS_HOST="")
    assert (settings.port, settings.host) == (8000, "127.0.0.1")
    assert settings.llama_kv_tokens is None
    assert settings.hf_token is None


def test_a_dollar_sign_in_the_file_stays(tmp_path: Path) -> None:
    env_file = tmp_path / ".env"
    env_file.write_text("HF_TOKEN=a${HOME}b\n")
    token = loaded_from(env_file).hf_token
    assert token is not None
    assert token.get_secret_value() == "a${HOME}b"


def test_a_bad_value_is_named_with_what_is_allowed() -> None:
    line = refusal(JARVIS_INFERENCE_ENGINE="vlm")
    assert "JARVIS_INFERENCE_ENGINE='vlm' (the environment)" in line
    assert "'llama_cpp', 'vllm' or 'remote'" in line
    assert "did you mean vllm?" in line


def test_all_problems_are_told_at_once() -> None:
    line = refusal(JARVIS_PORT="70000", JARVIS_CHAT_FORMT="chatml", JARVIS_N_GPU_LAYERS="many")
    assert "JARVIS_PORT='70000'" in line
    assert "did you mean JARVIS_CHAT_FORMAT?" in line
    assert "JARVIS_N_GPU_LAYERS='many'" in line
    assert "\n" not in line


def test_a_misspelt_variable_in_the_file_is_refused(tmp_path: Path) -> None:
    env_file = tmp_path / ".env"
    env_file.write_text("JARVIS_PROT=1\n")
    with pytest.raises(ConfigurationError, match=r"JARVIS_PROT \(\.env\).*JARVIS_PORT\?"):
        loaded_from(env_file)


def test_variables_of_other_programs_are_left_alone() -> None:
    assert loaded(PATH="/bin", MODEL_NAME="x").model_name == "models/jarvis-tiny.gguf"


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("JARVIS_VLLM_EXTRA_ARGS", "{"),
        ("JARVIS_VLLM_EXTRA_ARGS", "[1]"),
        ("JARVIS_VLLM_GPU_MEMORY_UTILIZATION", "1.5"),
        ("JARVIS_LLAMA_KV_CACHE_TYPE", "f64"),
        ("JARVIS_CHAT_FORMAT", "lama3"),
        ("JARVIS_CHAT_FORMAT", "missing.jinja"),
        ("JARVIS_LLAMA_THREADS", "0"),
        ("JARVIS_PORT", "-1"),
        ("DEBUG", "perhaps"),
        ("JARVIS_DEFAULT_TEMPERATURE", "2.1"),
        ("JARVIS_DEFAULT_TEMPERATURE", "nan"),
        ("JARVIS_DEFAULT_TOP_P", "0"),
        ("JARVIS_DEFAULT_TOP_K", "-2"),
        ("JARVIS_DEFAULT_TOP_K", "1.5"),
        ("JARVIS_DEFAULT_MIN_P", "1.1"),
        ("JARVIS_DEFAULT_REPETITION_PENALTY", "0"),
        ("JARVIS_DEFAULT_PRESENCE_PENALTY", "-2.5"),
        ("JARVIS_DEFAULT_FREQUENCY_PENALTY", "3"),
        ("JARVIS_USE_MODEL_SAMPLING", "2"),
        ("JARVIS_STRICT_FIELDS", "maybe"),
        ("LLAMA_LOG_LEVEL", "loud"),
    ],
)
def test_values_out_of_range_are_refused(variable: str, value: str) -> None:
    assert f"{variable}={value!r}" in refusal(**{variable: value})


def test_kinds_of_values_are_read() -> None:
    settings = loaded(
        JARVIS_MODEL_ALIASES="gpt-4o, *,",
        JARVIS_VLLM_EXTRA_ARGS='{"seed": 1}',
        JARVIS_LLAMA_KV_CACHE_TYPE="q8_0",
        JARVIS_VLLM_ENFORCE_EAGER="yes",
        LLAMA_LOG_LEVEL="debug",
        JARVIS_CACHE_DIR="~/x",
    )
    assert settings.model_aliases == ("gpt-4o", "*")
    assert settings.vllm_extra_args == {"seed": 1}
    assert settings.llama_kv_cache_type is KvCacheType.Q8_0
    assert settings.vllm_enforce_eager
    assert settings.llama_log_level is LogLevel.DEBUG
    assert settings.cache_dir == Path.home() / "x"


def test_sampling_that_is_not_set_is_left_to_the_model() -> None:
    assert loaded().default_sampling == {}
    assert loaded().use_model_sampling
    assert loaded().strict_fields


def test_sampling_that_is_set_is_by_a_plan_s_names() -> None:
    settings = loaded(
        JARVIS_DEFAULT_TEMPERATURE="0.7",
        JARVIS_DEFAULT_TOP_P="0.9",
        JARVIS_DEFAULT_TOP_K="-1",
        JARVIS_DEFAULT_MIN_P="0.05",
        JARVIS_DEFAULT_REPETITION_PENALTY="1.1",
        JARVIS_DEFAULT_PRESENCE_PENALTY="-2",
        JARVIS_DEFAULT_FREQUENCY_PENALTY="0",
        JARVIS_USE_MODEL_SAMPLING="no",
        JARVIS_STRICT_FIELDS="false",
    )
    assert settings.default_sampling == {
        "temperature": 0.7,
        "top_p": 0.9,
        "top_k": None,
        "min_p": 0.05,
        "repetition_penalty": 1.1,
        "presence_penalty": -2.0,
        "frequency_penalty": 0.0,
    }
    assert not settings.use_model_sampling
    assert not settings.strict_fields


def test_a_template_file_is_a_chat_format(tmp_path: Path) -> None:
    template = tmp_path / "mine.jinja"
    template.write_text("{{ messages }}")
    assert loaded(JARVIS_CHAT_FORMAT=str(template)).chat_format == str(template)


def test_the_cache_honours_xdg(tmp_path: Path) -> None:
    cache_dir = loaded(XDG_CACHE_HOME=str(tmp_path)).cache_dir
    assert cache_dir == tmp_path / "jarvis-llm-proxy"


def test_settings_are_frozen() -> None:
    settings = loaded()
    with pytest.raises(ValidationError):
        settings.port = 1


def test_the_token_is_never_shown() -> None:
    settings = loaded(HF_TOKEN="hf_secret")
    assert "hf_secret" not in f"{settings!r} {settings} {settings.model_dump_json()}"
    line = refusal(HF_TOKEN="hf_secret", JARVIS_PORT="x")
    assert "hf_secret" not in line


def test_the_served_id_follows_the_kind_of_model(tmp_path: Path) -> None:
    folder = tmp_path / "My-Model"
    folder.mkdir()
    assert loaded().served_model_id == "jarvis-tiny"
    assert loaded(JARVIS_MODEL_NAME="/a/b/Llama.Q4_K_M.gguf").served_model_id == "Llama.Q4_K_M"
    assert loaded(JARVIS_MODEL_NAME=f"{folder}/").served_model_id == "My-Model"
    assert loaded(JARVIS_MODEL_NAME="Qwen/Qwen3-0.6B").served_model_id == "Qwen/Qwen3-0.6B"


def test_the_context_window_has_a_default_for_each_engine() -> None:
    assert loaded().default_context_window == 4096
    vllm = {"JARVIS_INFERENCE_ENGINE": "vllm", "JARVIS_VLLM_MAX_MODEL_LEN": "512"}
    assert loaded(**vllm).default_context_window == 512
    assert loaded(**vllm, JARVIS_MODEL_CONTEXT_WINDOW="256").default_context_window == 256


def test_importing_and_constructing_read_no_environment() -> None:
    program = "from core.settings import Settings; print(Settings.model_validate({}).port)"
    environ = {"JARVIS_PORT": "1", "PORT": "2", "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=environ, capture_output=True, text=True
    )
    assert done.stdout == "8000\n", done.stderr


def test_the_example_lists_every_variable_with_its_default() -> None:
    names = [line.partition("=")[0] for line in example_lines() if line and line[0] != "#"]
    assert sorted(names) == sorted(VARIABLES)
    assert loaded_from(EXAMPLE) == loaded()


def test_the_example_explains_every_variable_in_the_field_s_words() -> None:
    paragraphs = EXAMPLE.read_text().split("\n\n")[1:]
    for paragraph in paragraphs:
        *comments, assignment = paragraph.strip().splitlines()
        field = VARIABLES[assignment.partition("=")[0]]
        words = " ".join(line.removeprefix("# ") for line in comments)
        assert words == Settings.model_fields[field].description


def test_the_example_shows_the_values_and_not_only_what_loads_as_such() -> None:
    for line in example_lines():
        name, equals, text = line.partition("=")
        if equals and text and name in VARIABLES:
            shown = getattr(loaded(), VARIABLES[name])
            assert text.lower() == str(shown).lower()


def test_a_file_that_can_not_be_read_is_named(tmp_path: Path) -> None:
    env_file = tmp_path / ".env"
    env_file.write_bytes(b"JARVIS_HOST=\xff\xfe\n")
    with pytest.raises(ConfigurationError, match=r"\.env can't be read"):
        loaded_from(env_file)
