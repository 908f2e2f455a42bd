"""What an engine can be made of, and what is refused in which words."""

from pathlib import Path

import pytest

from core.errors import ConfigurationError
from core.upstreams import Upstream, UpstreamKind, UpstreamPlan
from jarvis import EngineConfig

KEY = "sk-very-secret"


def test_settings_go_by_their_names_and_keep_their_kinds() -> None:
    config = EngineConfig(
        model=Path("models/some.gguf"),
        model_context_window=512,
        llama_prefix_cache=False,
        llama_kv_layout="shared",
        default_temperature=0.5,
        cache_dir=Path("kept"),
        n_gpu_layers=None,
    )
    settings = config.settings
    assert (config.engine, config.model, config.plan) == ("llama_cpp", "models/some.gguf", None)
    assert (settings.model_context_window, settings.llama_prefix_cache) == (512, False)
    assert settings.llama_kv_layout == "shared"
    assert settings.default_sampling == {"temperature": 0.5}
    assert (settings.cache_dir, settings.n_gpu_layers) == (Path("kept"), -1)
    assert EngineConfig("vllm", "m", vllm_extra_args={"seed": 1}).settings.vllm_extra_args == {
        "seed": 1
    }


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"engine": "vlm", "model": "m"}, "engine='vlm': allowed"),
        ({}, "model is missing"),
        ({"model": "m", "llama_thread": 2}, "llama_thread is no setting: did you mean llama_threa"),
        ({"model": "m", "model_name": "n"}, "did you mean model?"),
        ({"model": "m", "llama_threads": 0}, "llama_threads=0: "),
        ({"model": "m", "port": 8000}, "port is a setting of the server alone"),
        ({"model": "m", "wrong": 1, "llama_threads": 0}, "wrong is no setting"),
        ({"model": "m", "base_url": "http://gpu-box:8000"}, "go with engine='remote' alone"),
        ({"engine": "remote"}, "base_url is missing"),
        ({"engine": "remote", "base_url": "gpu-box:8000"}, "base_url: a URL begins with http"),
        ({"engine": "remote", "base_url": "http://h", "kind": "x"}, "kind='x': allowed are vllm"),
        ({"engine": "remote", "api_key": KEY}, "api_key goes with base_url"),
        ({"engine": "remote", "base_url": "http://h", "api_key": f"{KEY}\n"}, "api_key: "),
        (
            {"engine": "remote", "base_url": "http://h", "upstreams": UpstreamPlan()},
            "both given",
        ),
    ],
)
def test_what_is_wrong_is_said_by_the_name_that_was_used(
    given: dict[str, object], said: str
) -> None:
    with pytest.raises(ConfigurationError) as refused:
        EngineConfig(**given)  # type: ignore[arg-type]
    assert said in str(refused.value)
    assert KEY not in str(refused.value)


def test_a_remote_server_is_an_upstream() -> None:
    config = EngineConfig(
        "remote", "some", base_url="http://gpu-box:8000", api_key=KEY, kind="llama_cpp"
    )
    assert config.plan is not None
    (upstream,) = config.plan.upstreams
    assert (upstream.base_urls, upstream.kind) == (("http://gpu-box:8000/v1",), "llama_cpp")
    assert (upstream.name, upstream.default_model) == ("gpu-box:8000", "some")
    assert upstream.api_key is not None
    assert upstream.api_key.get_secret_value() == KEY
    assert KEY not in repr(config) + repr(config.plan)


def test_several_servers_are_a_plan() -> None:
    one = Upstream("one", UpstreamKind.JARVIS, ("http://one/v1",))
    plan = UpstreamPlan((one,), default_fallbacks=("other",))
    assert EngineConfig("remote", upstreams=plan).plan is plan
    assert EngineConfig("remote", upstreams=one).plan == UpstreamPlan((one,))


def test_the_environment_is_read_only_when_asked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("JARVIS_MODEL_NAME", "from-environment.gguf")
    monkeypatch.setenv("JARVIS_LLAMA_THREADS", "3")
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("JARVIS_LLAMA_THREADS=4\nJARVIS_CHAT_FORMAT=chatml\n")
    assert EngineConfig(model="m").settings.llama_threads is None
    config = EngineConfig.from_env()
    assert (config.model, config.settings.llama_threads) == ("from-environment.gguf", 3)
    assert config.settings.chat_format == "auto"
    config = EngineConfig.from_env(".env")
    assert (config.settings.llama_threads, config.settings.chat_format) == (3, "chatml")
    config = EngineConfig.from_env(".env", environ={})
    assert config.settings.llama_threads == 4
    with pytest.raises(ConfigurationError, match="no such file"):
        EngineConfig.from_env("other.env")


def test_a_remote_server_can_come_of_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    variables = {"JARVIS_INFERENCE_ENGINE": "remote", "VLLM_BASE_URL": "http://gpu-box:8000/v1"}
    config = EngineConfig.from_env(environ={**variables, "VLLM_DEFAULT_MODEL": "some"})
    assert config.plan is not None
    assert config.plan.upstreams[0].base_urls == ("http://gpu-box:8000/v1",)
    assert (config.model, config.plan.upstreams[0].default_model) == (None, "some")
    with pytest.raises(ConfigurationError, match="VLLM_BASE_URL"):
        EngineConfig.from_env(environ={"JARVIS_INFERENCE_ENGINE": "remote"})


def test_keys_of_servers_may_stand_in_the_env_file_as_for_the_server(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text(f"JARVIS_INFERENCE_ENGINE=remote\nBOX_KEY={KEY}\n")
    (tmp_path / "upstreams.toml").write_text(
        '[[upstreams]]\nname = "box"\nkind = "vllm"\nbase_url = "http://box"\n'
        'api_key_env = "BOX_KEY"\n'
    )
    for environ, key in [({}, KEY), ({"BOX_KEY": "another-key"}, "another-key")]:
        plan = EngineConfig.from_env(".env", environ=environ).plan
        assert plan is not None
        found = plan.upstreams[0].api_key
        assert found is not None
        assert found.get_secret_value() == key
