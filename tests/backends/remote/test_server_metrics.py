"""How a server's load is read from its metrics, whoever wrote them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.remote.server_metrics import ServerLoad, read_load
from core.upstreams import UpstreamKind

VLLM, LLAMA_CPP = UpstreamKind.VLLM, UpstreamKind.LLAMA_CPP
RUNNING, WAITING, CACHE = (
    "vllm:num_requests_running",
    "vllm:num_requests_waiting",
    "vllm:kv_cache_usage_perc",
)


def vllm_load(text: str) -> ServerLoad:
    return read_load(text.encode(), VLLM)


def test_engines_are_summed_and_the_fullest_cache_counts() -> None:
    text = f"""# HELP {RUNNING} Number of requests.
# TYPE {RUNNING} gauge
{RUNNING}{{engine="0",model_name="a/b"}} 2.0
{RUNNING}{{engine="1",model_name="a \\"}} # b"}} 3.0
# TYPE {WAITING} gauge
{WAITING}{{engine="0"}} 0.0
{WAITING}_by_reason{{engine="0",reason="capacity"}} 7.0
{CACHE}{{engine="0"}} 0.25
{CACHE}{{engine="1"}} 0.5 1395066363000
"""
    assert vllm_load(text) == ServerLoad(5.0, 0.0, 0.5)
    assert vllm_load(text.replace("\n", "\r\n")) == ServerLoad(5.0, 0.0, 0.5)


def test_the_older_name_of_the_cache_counts_where_the_newer_is_not_there() -> None:
    assert vllm_load("vllm:gpu_cache_usage_perc 0.5").kv_cache_usage == 0.5
    both = f"vllm:gpu_cache_usage_perc 0.5\n{CACHE} 0.25\n"
    assert vllm_load(both).kv_cache_usage == 0.25


def test_llama_cpp_has_names_of_its_own() -> None:
    text = b"llamacpp:requests_processing 1\nllamacpp:requests_deferred 4\n"
    assert read_load(text, LLAMA_CPP) == ServerLoad(1.0, 4.0, None)
    assert read_load(text, VLLM) == ServerLoad()


def test_jarvis_has_those_of_vllm() -> None:
    assert read_load(f"{RUNNING} 1".encode(), UpstreamKind.JARVIS).num_running == 1.0


@pytest.mark.parametrize(
    "line",
    [
        RUNNING,
        f"{RUNNING} ",
        f"{RUNNING} x",
        f"{RUNNING} NaN",
        f"{RUNNING} +Inf",
        f"{RUNNING} 1e400",
        f"{RUNNING} -1",
        f"{RUNNING} {'9' * 4000}",
        f"{RUNNING} {'9' * 5000}",
        f'{RUNNING}{{a="1",a="2"}} 1',
        f'{RUNNING}{{a="1" 1',
        f"{RUNNING}{{,,}} 1",
        f"{RUNNING}{{}}}}",
        f"{RUNNING}{{a=b}} 1",
        f'{RUNNING}{{a="{"x" * 5000}"}} 1',
        f"{RUNNING}\x00 1",
        f"{RUNNING}\ud800 1",
        f"{CACHE} 1.5",
        "{",
        "\x00",
    ],
    ids=range(20),
)
def test_a_malformed_line_tells_nothing_and_takes_no_other_with_it(line: str) -> None:
    body = f"{line}\n{WAITING} 1\n".encode(errors="surrogatepass")
    assert read_load(body, VLLM) == ServerLoad(num_waiting=1.0)


def test_a_sum_beyond_all_numbers_tells_nothing() -> None:
    line = f"{RUNNING} 1.7e308\n"
    assert vllm_load(line * 2).num_running is None


def test_a_body_without_end_is_read_in_part() -> None:
    assert vllm_load(f"{RUNNING} 1\n" * 100_000).num_running == 1000.0
    assert vllm_load("\n" * 4_000_000 + f"{RUNNING} 1").num_running == 1.0
    assert vllm_load(" " * 4_000_000 + f"{RUNNING} 1").num_running is None


@given(
    st.lists(
        st.sampled_from(
            [RUNNING, CACHE, "{", "}", '"', "=", ",", "#", " ", "\\", "1", "e", "a", "\n"]
        ),
        max_size=40,
    )
)
def test_any_text_is_read(parts: list[str]) -> None:
    load = vllm_load("".join(parts))
    assert load.kv_cache_usage is None or 0 <= load.kv_cache_usage <= 1
