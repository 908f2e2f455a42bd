"""A template can't hang the server, eat its memory or reach out of its process."""

from datetime import datetime

import pytest

from chat_formats.sandbox import SandboxLimits, TemplateSandbox
from core.errors import ConfigurationError, InvalidConversation

NOW = datetime(2026, 5, 1)
# Each starts processes and uses up their time: slow where the machine is busy.
pytestmark = pytest.mark.timeout(60)
QUICK = SandboxLimits(cpu_limit_s=0.2, max_memory_bytes=256 * 1024**2)
DOUBLING = (
    "{% set n = namespace(x=[1]) %}{% for i in range(60) %}{% set n.x = [n.x, n.x] %}{% endfor %}"
)
HOSTILE = [
    "{% for i in range(10**9) %}x{% endfor %}",
    "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
    "{% for i in range(99999) %}{% for j in range(99999) %}long text {% endfor %}{% endfor %}",
    "{{ 'x' * 10**9 }}",
    "{{ x * 10**10 }}",
    "{% set n = namespace(x='x') %}{% for i in range(99) %}{% set n.x = n.x + n.x %}{% endfor %}",
    "{% set n = namespace(x='x') %}{% for i in range(99) %}{% set n.x = n.x ~ n.x %}{% endfor %}",
    DOUBLING + "{{ n.x }}",
    DOUBLING + "{{ n.x | tojson }}",
    DOUBLING + "{{ n.x == (n.x | list) + [] }}{{ n.x | string }}",
    "{{ (9 ** 9) ** (9 ** 9) }}",
    "{{ (10 ** 4000) ** 100000 % 7 }}",
    "{{ 'a' | center(10**10) }}",
    "{{ '%9999999999d' % 1 }}",
    "{{ '%9999999999d' | format(1) }}",
    "{{ '{:>9999999999}'.format(1) }}",
    "{{ 'x'.ljust(10**10) }}",
    "{{ [1] | batch(10**9, 'x') | list | length }}",
    "{{ ('a' * 100000).replace('', 'b' * 100000) }}",
    "{{ ('a\n' * 100000) | indent(100000) }}",
    "{{ ['x' * 1000000] | map('string') | join * 1000 }}",
    "{{ ''.join(['x' * 1000000] * 100000) }}",
    "{{ range(100000) | list | tojson(indent=100000) }}",
    "{{ lipsum(n=100000000) }}",
    "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "{% for a in [1] recursive %}{{ loop([1]) }}{% endfor %}",
    "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}",
    "{% if 1 %}" * 500 + "{% endif %}" * 500,
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ cycler.__init__.__globals__.os }}",
    "{{ self.__init__.__globals__ }}",
    "{{ raise_exception.__globals__.os }}",
    "{{ strftime_now.__self__ }}{{ strftime_now.__func__.__globals__ }}",
    "{{ namespace(__class__=1) }}",
    "{% set n = namespace() %}{% set n.__class__ = 1 %}",
    "{{ dict.__subclasses__() }}{{ dict.mro() }}",
    "{{ [].append(1) }}",
    "{{ messages.clear() }}",
    "{% include '/etc/passwd' %}",
    "{% import 'os' as os %}{{ os.environ }}",
]


@pytest.mark.parametrize("template", HOSTILE, ids=lambda template: template[:60])
def test_hostile_templates_are_refused(template: str) -> None:
    with pytest.raises((InvalidConversation, ConfigurationError)) as refusal:
        TemplateSandbox(template, QUICK).render({"x": "x", "messages": []}, NOW)
    assert len(str(refusal.value)) < 400
    assert "\n" not in str(refusal.value)


def test_the_next_rendering_works_after_one_was_ended() -> None:
    template = "{% for i in range(n) %}{% for j in range(n) %}{% endfor %}{% endfor %}done"
    sandbox = TemplateSandbox(template, QUICK)
    for _ in range(2):
        with pytest.raises(InvalidConversation, match=r"did not finish within 0.2 s"):
            sandbox.render({"n": 99999}, NOW)
        assert sandbox.render({"n": 3}, NOW) == "done"


def test_a_rendering_that_gets_no_processor_time_ends_too() -> None:
    limits = SandboxLimits(cpu_limit_s=60, wall_limit_s=0.5)
    sandbox = TemplateSandbox("{% for i in range(99999) %}{{ 'x' * 99999 }}{% endfor %}", limits)
    with pytest.raises(InvalidConversation):
        sandbox.render({}, NOW)


def test_memory_is_bounded() -> None:
    limits = SandboxLimits(cpu_limit_s=10, max_memory_bytes=256 * 1024**2)
    sandbox = TemplateSandbox("{{ ('x' * n) | length }}", limits)
    assert sandbox.render({"n": 10**6}, NOW) == "1000000"
    with pytest.raises(InvalidConversation, match="too much memory"):
        sandbox.render({"n": 10**9}, NOW)


def test_output_is_bounded() -> None:
    sandbox = TemplateSandbox("{{ 'x' * n }}", SandboxLimits(max_characters=1000))
    assert sandbox.render({"n": 1000}, NOW) == "x" * 1000
    with pytest.raises(InvalidConversation, match="more than 1000 characters"):
        sandbox.render({"n": 1001}, NOW)


def test_renderings_do_not_remember_each_other() -> None:
    sandbox = TemplateSandbox("{% if x is defined %}{{ x }}{% else %}none{% endif %}")
    assert [sandbox.render(each, NOW) for each in ({"x": "a"}, {}, {"x": "b"})] == [
        "a",
        "none",
        "b",
    ]


def test_any_character_comes_back() -> None:
    text = "\x00\n\u2028🙂\ufdd0\ud800"
    assert TemplateSandbox("{{ x }}").render({"x": text}, NOW) == text


def test_long_messages_of_a_template_are_shortened_to_a_line() -> None:
    sandbox = TemplateSandbox("{{ raise_exception('a\n' * 5000) }}")
    with pytest.raises(InvalidConversation) as refusal:
        sandbox.render({}, NOW)
    assert len(str(refusal.value)) < 400
    assert "\n" not in str(refusal.value)
