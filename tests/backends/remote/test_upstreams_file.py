"""The file of upstreams: what each field becomes, and what is said of each mistake."""

import logging
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backends.remote.upstream_table import UpstreamTable
from backends.remote.upstreams_file import read_upstreams
from core.errors import ConfigurationError
from core.upstreams import (
    BreakerRules,
    Upstream,
    UpstreamKind,
    UpstreamPlan,
    UpstreamTimeouts,
)

SECRET = "sk-very-secret-0123456789"
ENVIRON = {
    "KEY": SECRET,
    "EMPTY": "",
    "BROKEN": f"{SECRET}\nx",
}
Read = Callable[[str], UpstreamPlan]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    def _read(text: str) -> UpstreamPlan:
        path = tmp_path / "upstreams.toml"
        path.write_text(text)
        path.chmod(0o600)
        return read_upstreams(path, ENVIRON)

    return _read


@pytest.fixture
def refusal(read: Read) -> Callable[[str], str]:
    def _refusal(text: str) -> str:
        with pytest.raises(ConfigurationError) as caught:
            read(text)
        message = str(caught.value)
        assert message.isprintable(), "one line"
        assert SECRET not in message
        assert "upstreams.toml: " in message
        return message.split("upstreams.toml: ", 1)[1]

    return _refusal


Refusal = Callable[[str], str]


def box(lines: str = "", kind: str = "vllm") -> str:
    return f'[[upstreams]]\nname = "box"\nkind = "{kind}"\nbase_url = "http://box:1"\n{lines}\n'


def test_few_fields_are_enough(read: Read) -> None:
    plan = read(box())
    assert plan == UpstreamPlan((Upstream("box", UpstreamKind.VLLM, ("http://box:1/v1",)),))


def test_every_field_has_its_place(read: Read, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("")
    plan = read(
        """
        refresh_s = 5
        [[upstreams]]
        name = "a.b-c_1"
        kind = "jarvis"
        base_url = ["https://one/x/", "http://[::1]:7"]
        api_key_env = "KEY"
        default_model = "m"
        models = { m = "org/m" }
        priority = 3
        weight = 2
        timeouts = { connect_s = 1, read_s = 2.5, total_s = "none" }
        max_retries = 0
        breaker = { failures = 2, open_s = 4 }
        hedge_after_s = 1.5
        ca_file = "ca.pem"
        extra_headers = { X-One = "1", X-Two = { env = "KEY" } }
        pass_client_key = true
        [model_fallbacks]
        default = ["x", "y"]
        m = []
        """
    )
    upstream = plan.upstreams[0]
    assert upstream.api_key is not None
    assert upstream.api_key.get_secret_value() == SECRET
    headers = {name: value.get_secret_value() for name, value in upstream.extra_headers.items()}
    assert headers == {"X-One": "1", "X-Two": SECRET}
    assert upstream == Upstream(
        name="a.b-c_1",
        kind=UpstreamKind.JARVIS,
        base_urls=("https://one/x", "http://[::1]:7/v1"),
        api_key=upstream.api_key,
        default_model="m",
        models={"m": "org/m"},
        priority=3,
        weight=2.0,
        timeouts=UpstreamTimeouts(1.0, 2.5, None),
        max_retries=0,
        breaker=BreakerRules(2, 4.0),
        hedge_after_s=1.5,
        ca_file=tmp_path / "ca.pem",
        extra_headers=upstream.extra_headers,
        passes_client_key=True,
    )
    assert (plan.refresh_s, plan.default_fallbacks, plan.fallbacks) == (5.0, ("x", "y"), {"m": ()})
    assert SECRET not in repr(plan)
    assert SECRET not in str(plan)


def test_a_list_of_models_has_the_servers_own_names(read: Read) -> None:
    assert read(box('models = ["a/b", "c"]')).upstreams[0].models == {"a/b": "a/b", "c": "c"}


@pytest.mark.parametrize(
    ("kind", "url"),
    [("openrouter", "https://openrouter.ai/api/v1"), ("openai", "https://api.openai.com/v1")],
)
def test_providers_have_their_urls(read: Read, kind: str, url: str) -> None:
    plan = read(f'[[upstreams]]\nname = "x"\nkind = "{kind}"')
    assert plan.upstreams[0].base_urls == (url,)


@pytest.mark.parametrize(
    ("kind", "given_url", "url"),
    [
        ("vllm", "http://h:1/", "http://h:1/v1"),
        ("llama_cpp", "http://h", "http://h/v1"),
        ("jarvis", "http://h/v1/", "http://h/v1"),
        ("vllm", "HTTP://h/other", "http://h/other"),
        ("openai", "https://h", "https://h"),
    ],
)
def test_v1_is_added_where_it_is_sure_to_be(
    read: Read, kind: str, given_url: str, url: str
) -> None:
    plan = read(box(kind=kind).replace("http://box:1", given_url))
    assert plan.upstreams[0].base_urls == (url,)


@pytest.mark.parametrize(
    "url",
    [
        f"http://user:{SECRET}@box",
        f"http://{SECRET}@box",
        f"http://box?key={SECRET}",
        f"http://box#{SECRET}",
        f"ftp://{SECRET}",
        f"http:///{SECRET}",
        f"http://{SECRET} x",
        f"http://[{SECRET}",
        f"http://h:{SECRET}",
        "http://h:0",
        "http://h:70000",
        "http://h/ä",
        "http://h/\\n",
        "//h",
        "",
    ],
)
def test_urls_that_are_none_are_refused_unseen(refusal: Refusal, url: str) -> None:
    message = refusal(box().replace("http://box:1", url))
    assert message.startswith("upstream 1 (box): base_url")


def test_a_url_twice_is_refused(refusal: Refusal) -> None:
    message = refusal(box().replace('"http://box:1"', '["http://a", "http://a/v1"]'))
    assert message == "upstream 1 (box): base_url: a URL is given twice"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("prioriti = 1", "prioriti: no such field: did you mean priority?"),
        (f'apikey = "{SECRET}"', "apikey: no such field: did you mean api_key?"),
        (
            "timeouts = { conect_s = 1 }",
            "timeouts.conect_s: no such field: did you mean connect_s?",
        ),
        ("breaker = { opens = 1 }", "breaker.opens: no such field: did you mean open_s?"),
        (
            "timeouts = { zzz = 1 }",
            "timeouts.zzz: no such field; allowed: connect_s, read_s, total_s",
        ),
        ("weight = 0", "weight=0: allowed: greater than 0"),
        ("weight = nan", "weight=nan: allowed: "),
        ("weight = inf", "weight=inf: allowed: "),
        ("max_retries = 11", "max_retries=11: allowed: less than or equal to 10"),
        ('max_retries = "2"', "max_retries='2': allowed: a valid integer"),
        ("max_retries = true", "max_retries=True: allowed: a valid integer"),
        ("priority = -1", "priority=-1: allowed: greater than or equal to 0"),
        ("verify_ssl = 1", "verify_ssl=1: allowed: a valid boolean"),
        ("timeouts = { read_s = 0 }", "timeouts.read_s=0: allowed: greater than 0"),
        ('timeouts = { total_s = "never" }', "timeouts.total_s='never': allowed: "),
        ("timeouts = 5", "timeouts=5: allowed: a table"),
        ("hedge_after_s = -1", "hedge_after_s=-1: allowed: greater than 0"),
        ("default_model = ''", "default_model='': allowed: 1 to 512 printable characters"),
        ('models = ["a", "a"]', "models: a name is listed twice"),
        ("models = [1]", "models"),
        ('models = { a = "\\u0007" }', "models.a: allowed: 1 to 512 printable characters"),
        ('ca_file = "no.pem"', "ca_file='no.pem': there is no such file"),
        ('ca_file = "\\u0000"', "ca_file='\\x00': there is no such file"),
        ('ca_file = "~nobody-here/x"', "ca_file='~nobody-here/x': there is no such file"),
        (
            'verify_ssl = false\nca_file = "x"',
            "ca_file='x': it is not used with verify_ssl = false",
        ),
        (f'api_key = "{SECRET}\\n"', "api_key: allowed: printable ASCII characters"),
        (f'api_key = "{SECRET}ä"', "api_key: allowed: printable ASCII characters"),
        ('api_key = ""', "api_key: it is empty"),
        (f'api_key = ["{SECRET}"]', "api_key: allowed: a valid string"),
        (f'api_key = "{SECRET}"\napi_key_env = "KEY"', "api_key_env: give api_key or api_key_env"),
        (f'api_key_env = "{SECRET}"', "api_key_env: the name of a variable is wanted"),
        ('api_key_env = "MISSING"', "api_key_env: the variable MISSING is not set"),
        ('api_key_env = "EMPTY"', "api_key_env: the variable EMPTY is not set"),
        ('api_key_env = "BROKEN"', "api_key_env: the variable BROKEN: allowed: printable"),
        (f'extra_headers = {{ "a b" = "{SECRET}" }}', "extra_headers: one of them is no name"),
        (f'extra_headers = {{ Host = "{SECRET}" }}', "extra_headers: Host is set by this server"),
        (f'extra_headers = {{ A = "{SECRET}\\n" }}', "extra_headers: A: allowed: printable"),
        (f'extra_headers = {{ A = ["{SECRET}"] }}', "extra_headers: A: allowed: a text, or"),
        ('extra_headers = { A = { env = "MISSING" } }', "extra_headers: A: the variable MISSING"),
        ('extra_headers = { A = "1", a = "2" }', "extra_headers: a header is given twice"),
        (
            'api_key_env = "KEY"\nextra_headers = { Authorization = "x" }',
            "extra_headers: Authorization is made of the API key",
        ),
    ],
)
def test_a_mistake_is_named_with_its_place(refusal: Refusal, line: str, message: str) -> None:
    assert refusal(box(line)).startswith(f"upstream 1 (box): {message}")


@pytest.mark.parametrize("name", ["Box", "a b", "", "ä", "x" * 65, "a/b", "local", "a\\n"])
def test_names_are_plain_and_not_ours(refusal: Refusal, name: str) -> None:
    assert "name=" in refusal(box().replace('"box"', f'"{name}"'))


def test_kinds_are_listed_where_one_is_unknown(refusal: Refusal) -> None:
    message = refusal(box(kind="vlm"))
    assert message.endswith("allowed: 'vllm', 'llama_cpp', 'jarvis', 'openrouter' or 'openai'")


def test_what_is_missing_is_named(refusal: Refusal) -> None:
    message = refusal('[[upstreams]]\nkind = "vllm"')
    assert message.startswith(
        "upstream 1: name: it is missing; upstream 1: base_url: it is missing"
    )


def test_all_mistakes_are_named_at_once(refusal: Refusal) -> None:
    message = refusal("refresh = 1\n" + box("weight = 0") + box("max_retries = -1"))
    assert [part.split("=")[0].split(": ")[-1] for part in message.split("; ")][:2] == [
        "weight",
        "max_retries",
    ]
    assert message.endswith("refresh: no such field: did you mean refresh_s?")


def test_of_very_many_mistakes_the_first_are_named(refusal: Refusal) -> None:
    message = refusal("\n".join(f"x{number} = 1" for number in range(1000)))
    assert message.endswith("; and 988 more")


def test_two_upstreams_of_one_name_are_refused(refusal: Refusal) -> None:
    message = refusal(box() + box())
    assert message == "upstream 2 (box): name='box': another one has this name"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('a = ["b", "a"]', "model_fallbacks.a: a model can't replace itself"),
        ('a = ["b", "b"]', "model_fallbacks.a: a name is listed twice"),
        ('a = "b"', "model_fallbacks.a='b': allowed: a valid list"),
        ("a = [1]", "model_fallbacks.a.0=1: allowed: a valid string"),
    ],
)
def test_fallbacks_that_are_none_are_refused(refusal: Refusal, line: str, message: str) -> None:
    assert refusal(f"[model_fallbacks]\n{line}") == message


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a = ", "it is not valid TOML"),
        (b"a = '\xff'", "byte 5 is not UTF-8"),
        (b"a = " + b"[" * 5000, "it "),
        (b"a = " + b"9" * 5000, "it is not valid TOML"),
        (b"#" * (2**20 + 1), "it is larger than 1 MiB"),
        (b"upstreams = 1", "upstreams=1: allowed: a valid list"),
        (b"upstreams = [1]", "upstream 1: allowed: a table"),
    ],
)
def test_files_that_are_none_are_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "upstreams.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        read_upstreams(path, {})


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"no\.toml: it can't be read: No such file"):
        read_upstreams(tmp_path / "no.toml", {})
    with pytest.raises(ConfigurationError, match="it can't be read"):
        read_upstreams(tmp_path, {})


@pytest.mark.parametrize(
    ("lines", "mode", "warns"),
    [
        (f'api_key = "{SECRET}"', 0o644, True),
        (f'api_key = "{SECRET}"', 0o640, True),
        (f'api_key = "{SECRET}"', 0o600, False),
        (f'extra_headers = {{ A = "{SECRET}" }}', 0o644, True),
        ('api_key_env = "KEY"\nextra_headers = { A = { env = "KEY" } }', 0o644, False),
    ],
)
def test_keys_that_others_can_read_are_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, lines: str, mode: int, warns: bool
) -> None:
    path = tmp_path / "upstreams.toml"
    path.write_text(box(lines))
    path.chmod(mode)
    read_upstreams(path, ENVIRON)
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * warns
    assert SECRET not in caplog.text


_words = st.sampled_from(
    (
        *("[[upstreams]]", "[model_fallbacks]", "upstreams", "name", "kind", "vllm", "base_url"),
        *("http://h", "timeouts", "extra_headers", "env", "KEY", "default", "total_s", "1e999"),
        *("nan", "true", "1979-05-27", "=", "=", "=", "{", "}", "[", "]", ",", ".", '"', "\n"),
    )
)
_values = st.recursive(
    st.sampled_from(['"x"', '"box"', "1", "-1", "nan", "inf", "true", "1979-05-27", '"http://h"']),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]"),
        st.lists(inner, max_size=2).map(
            lambda items: "{" + ", ".join(f"k{i} = {v}" for i, v in enumerate(items)) + "}"
        ),
    ),
    max_leaves=6,
)
_texts = st.one_of(
    st.text(),
    st.lists(_words, max_size=30).map(" ".join),
    st.dictionaries(st.sampled_from((*UpstreamTable.model_fields, "x")), _values).map(
        lambda table: "[[upstreams]]\n" + "\n".join(f"{k} = {v}" for k, v in table.items())
    ),
    _values.map(lambda value: f"model_fallbacks = {value}\nupstreams = {value}"),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(_texts)
def test_any_text_is_a_plan_or_a_refusal_in_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "upstreams.toml"
    path.write_bytes(text.encode())
    message = ""
    try:
        read_upstreams(path, ENVIRON)
    except ConfigurationError as error:
        message = str(error)
    assert message.isprintable()
