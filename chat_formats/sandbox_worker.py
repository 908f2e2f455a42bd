"""Owns the process in which an untrusted chat template runs. Knows nothing of this project.

Started as a script by `sandbox.py`. Reads JSON lines, writes JSON lines: first the template and
its limits, then one line of variables a rendering. It must import nothing of ours: it runs without
our modules on its path, so that a template that gets out of Jinja's sandbox finds little.
"""

import json
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Any, BinaryIO

from jinja2 import Environment, meta, nodes
from jinja2.exceptions import SecurityError, TemplateError
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace


class TemplateRefusal(TemplateError):
    """The template called `raise_exception`."""


class OutputTooLong(TemplateError):
    """The template wrote more than the limit."""


class GenerationTag(Extension):
    """`{% generation %}` marks what the assistant says, for training; here it writes its body."""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        self.tags = {"generation"}

    def parse(self, parser: Parser) -> nodes.Node:
        """Takes everything up to `{% endgeneration %}`."""
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        call = self.call_method("_write")
        return nodes.CallBlock(call, [], [], body).set_lineno(line)

    def _write(self, caller: Callable[[], str]) -> str:
        return caller()


class PlainNamespace(Namespace):
    """Jinja's namespace without names that reach into Python."""

    def __setitem__(self, name: str, value: object) -> None:
        if name.startswith("_"):
            raise SecurityError(f"a namespace can't hold the name {name!r}")
        super().__setitem__(name, value)


class Renderer:
    """One compiled template with the filters and functions that published templates expect."""

    def __init__(self, source: str, max_characters: int) -> None:
        self._max_characters = max_characters
        self._now = datetime.min
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=[GenerationTag, loopcontrols]
        )
        environment.filters["tojson"] = to_json
        environment.globals["raise_exception"] = raise_exception
        environment.globals["strftime_now"] = self._strftime_now
        environment.globals["dict"] = make_dict
        environment.globals["namespace"] = make_namespace
        self._template = environment.from_string(source)
        self.variables = find_variables(environment.parse(source))

    def render(self, variables: dict[str, Any], now: str) -> str:
        """The prompt, with `strftime_now` telling `now`. Raises whatever the template raises."""
        self._now = datetime.fromisoformat(now)
        chunks = []
        num_characters = 0
        for chunk in self._template.generate(variables):
            num_characters += len(chunk)
            if num_characters > self._max_characters:
                raise OutputTooLong(f"more than {self._max_characters} characters of output")
            chunks.append(chunk)
        return "".join(chunks)

    def _strftime_now(self, pattern: str) -> str:
        return self._now.strftime(pattern)


def find_variables(template: nodes.Template) -> set[str]:
    """The names that a template reads and leaves to its caller.

    Jinja also counts those that are set in one branch and read after it: they are left out, unless
    the template asks whether they were given.
    """
    stored = {name.name for name in template.find_all(nodes.Name) if name.ctx == "store"}
    asked = {
        question.node.name
        for question in template.find_all((nodes.Test, nodes.Filter))
        if question.name in ("defined", "undefined", "default", "d")
        and isinstance(question.node, nodes.Name)
    }
    return meta.find_undeclared_variables(template) - (stored - asked)


def raise_exception(message: object) -> None:
    """What templates call to refuse a conversation."""
    raise TemplateRefusal(str(message))


def to_json(
    value: object,
    ensure_ascii: bool = False,
    indent: int | str | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """Jinja's own filter writes HTML-safe JSON; models were trained on plain JSON."""
    return json.dumps(
        value,
        ensure_ascii=ensure_ascii,
        indent=indent,
        separators=separators,
        sort_keys=sort_keys,
    )


def make_dict(*args: dict[str, object], **entries: object) -> dict[str, object]:
    """`dict(...)` as a function: the type itself would offer its attributes."""
    return dict(*args, **entries)


def make_namespace(*args: dict[str, object], **entries: object) -> PlainNamespace:
    """`namespace(...)`, whose names are checked as those set later are."""
    namespace = PlainNamespace()
    for name, value in dict(*args, **entries).items():
        namespace[name] = value
    return namespace


@contextmanager
def cpu_limit(seconds: float) -> Iterator[None]:
    """Ends this process once the block has used so much processor time.

    The signal's default action is the kernel's, so it also ends a loop inside the interpreter.
    """
    if not hasattr(signal, "setitimer"):
        yield
        return
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def limit_process(max_memory_bytes: int) -> None:
    """Bounds memory and forbids writing files, where the platform can."""
    if sys.platform == "win32":
        return
    import resource

    limits = (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_AS, max_memory_bytes),
    )
    for limit, value in limits:
        with suppress(ValueError, OSError):
            resource.setrlimit(limit, (value, value))


def render_line(renderer: Renderer, line: bytes) -> dict[str, str]:
    """What the parent is told of one rendering: `text`, `refused`, `failed` or `broken`."""
    try:
        request = json.loads(line)
        return {"text": renderer.render(request["variables"], request["now"])}
    except TemplateRefusal as refusal:
        return {"refused": str(refusal)[:1000]}
    except Exception as error:
        return failure(error)


def failure(error: Exception) -> dict[str, str]:
    """An error as the parent is told of it: of this conversation, or of what no template may do."""
    if isinstance(error, MemoryError):
        return {"broken": "it needs too much memory"}
    is_broken = isinstance(error, SecurityError | RecursionError | OutputTooLong)
    return {"broken" if is_broken else "failed": f"{type(error).__name__}: {error}"[:1000]}


def serve(requests: BinaryIO, replies: BinaryIO) -> None:
    """Compiles the template of the first line, then renders one line after the other."""
    start = json.loads(requests.readline())
    limit_process(start["max_memory_bytes"])
    with cpu_limit(start["cpu_limit_s"]):
        try:
            renderer = Renderer(start["template"], start["max_characters"])
        except Exception as error:
            _send(replies, failure(error))
            return
    _send(replies, {"variables": " ".join(sorted(renderer.variables))})
    for line in requests:
        with cpu_limit(start["cpu_limit_s"]):
            _send(replies, render_line(renderer, line))


def _send(replies: BinaryIO, reply: dict[str, str]) -> None:
    line = json.dumps(reply, ensure_ascii=False) + "\n"
    replies.write(line.encode("utf-8", "surrogatepass"))
    replies.flush()


if __name__ == "__main__":
    # They mean the server, which lets answers end, and reach its whole group.
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    serve(sys.stdin.buffer, sys.stdout.buffer)
