"""What the file and the variables say together."""

from pathlib import Path

import pytest

from backends.remote.plan import plan_of
from core.errors import ConfigurationError
from core.settings import Settings, load_settings
from core.upstreams import Upstream, UpstreamKind, UpstreamPlan, UpstreamTimeouts

SECRET = "sk-very-secret-0123456789"
FILE = '[[upstreams]]\nname = "{}"\nkind = "openrouter"\napi_key_env = "KEY"\n'


def settings(**variables: str) -> Settings:
    return load_settings(variables, environ={}, env_file=None)


def plan(tmp_path: Path, **variables: str) -> UpstreamPlan:
    """With `upstreams.toml` where one is by itself."""
    return plan_of(settings(**variables), {"KEY": SECRET}, tmp_path / "upstreams.toml")


def test_without_anything_there_are_no_upstreams(tmp_path: Path) -> None:
    assert plan(tmp_path) == UpstreamPlan()


def test_a_url_is_enough_for_one_vllm_server(tmp_path: Path) -> None:
    usual = UpstreamTimeouts(5.0, 600.0, 600.0)
    upstream = Upstream("vllm", UpstreamKind.VLLM, ("http://box:8000/v1",), timeouts=usual)
    assert plan(tmp_path, VLLM_BASE_URL="http://box:8000") == UpstreamPlan((upstream,))


def test_its_variables_have_their_places(tmp_path: Path) -> None:
    upstream = plan(
        tmp_path,
        JARVIS_INFERENCE_ENGINE="remote",
        VLLM_BASE_URL="https://box/api",
        VLLM_DEFAULT_MODEL="org/m",
        VLLM_API_KEY=SECRET,
        VLLM_TIMEOUT_SECONDS="3",
        VLLM_VERIFY_SSL="false",
        VLLM_MAX_RETRIES="0",
    ).upstreams[0]
    assert upstream.api_key is not None
    assert upstream.api_key.get_secret_value() == SECRET
    assert SECRET not in repr(upstream)
    assert upstream.base_urls == ("https://box/api",)
    assert upstream.default_model == "org/m"
    assert upstream.timeouts == UpstreamTimeouts(3.0, 3.0, 3.0)
    assert not upstream.verify_ssl
    assert upstream.max_retries == 0


def test_the_file_is_read_where_it_is_or_where_it_is_said_to_be(tmp_path: Path) -> None:
    (tmp_path / "upstreams.toml").write_text(FILE.format("usual"))
    (tmp_path / "mine.toml").write_text(FILE.format("mine"))
    assert [u.name for u in plan(tmp_path).upstreams] == ["usual"]
    named = plan(
        tmp_path, JARVIS_UPSTREAMS_FILE=str(tmp_path / "mine.toml"), VLLM_BASE_URL="http://box"
    )
    assert [u.name for u in named.upstreams] == ["mine", "vllm"]


def test_a_named_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"no\.toml: it can't be read"):
        plan(tmp_path, JARVIS_UPSTREAMS_FILE=str(tmp_path / "no.toml"))


def test_two_upstreams_named_vllm_are_refused(tmp_path: Path) -> None:
    (tmp_path / "upstreams.toml").write_text(FILE.format("vllm"))
    with pytest.raises(
        ConfigurationError, match="an upstream named vllm, and so has VLLM_BASE_URL"
    ):
        plan(tmp_path, VLLM_BASE_URL="http://box")


def test_remote_without_upstreams_is_refused_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"VLLM_BASE_URL, or name one in upstreams\.toml"):
        plan(tmp_path, JARVIS_INFERENCE_ENGINE="remote")


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("VLLM_BASE_URL", f"http://user:{SECRET}@box"),
        ("VLLM_BASE_URL", f"{SECRET}"),
        ("VLLM_API_KEY", f"{SECRET}ä"),
        ("VLLM_API_KEY", f"{SECRET}\nx"),
    ],
)
def test_what_can_not_be_used_is_refused_unseen(tmp_path: Path, variable: str, text: str) -> None:
    variables = {"VLLM_BASE_URL": "http://box", variable: text}
    with pytest.raises(ConfigurationError) as caught:
        plan(tmp_path, **variables)
    assert str(caught.value).startswith(f"{variable}: ")
    assert SECRET not in str(caught.value)


def test_this_server_s_own_keys_are_sent_to_nobody(tmp_path: Path) -> None:
    file = tmp_path / "upstreams.toml"
    file.write_text(FILE.format("far") + "pass_client_key = true\n")
    named = {"JARVIS_UPSTREAMS_FILE": str(file)}
    assert plan(tmp_path, **named).upstreams[0].passes_client_key
    with pytest.raises(ConfigurationError, match="upstream far is sent clients' keys"):
        plan(tmp_path, **named, JARVIS_API_KEYS="0123456789abcdef")
