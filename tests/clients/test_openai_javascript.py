"""The openai package for JavaScript: each program in `javascript/` tells what it saw as JSON."""

import json
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from tests.clients.javascript_programs import NODE, PROGRAMS
from tests.clients.questions import (
    ANNA,
    FORECAST,
    HELLO,
    I_AM,
    INTRODUCTION,
    PORTRAIT,
    REPORT,
    STORY,
    TOO_LONG,
    WEATHER_IN_PARIS,
    WEATHER_TOOL,
    WHO_AM_I,
)
from tests.clients.server import API_KEY, EMBEDDING_MODEL, MODEL, Served

pytestmark = pytest.mark.engine

Run = Callable[..., Any]


@pytest.fixture
def run(server: Served) -> Run:
    """Runs a program with texts as its arguments."""
    environment = {
        "OPENAI_URL": server.openai_url,
        "API_KEY": API_KEY,
        "MODEL": MODEL,
        "WEATHER_TOOL": json.dumps(WEATHER_TOOL),
    }

    def told_by(program: str, *texts: str) -> Any:
        done = subprocess.run(
            [NODE, PROGRAMS / program, *texts],
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        return json.loads(done.stdout)

    return told_by


def test_chat(run: Run) -> None:
    told = run("chat.mjs", HELLO)
    assert I_AM in told["text"]
    assert told["finish"] == "stop"
    assert told["tokens"] > 0
    assert MODEL in told["models"]


def test_a_stream_says_what_the_plain_answer_says(run: Run) -> None:
    told = run("stream.mjs", STORY)
    assert len(told["deltas"]) > 20
    assert "".join(told["deltas"]) == told["plain"]


@pytest.mark.parametrize("way", ["plain", "streamed"])
def test_tool_loop(run: Run, way: str) -> None:
    told = run("tool_loop.mjs", WEATHER_IN_PARIS, FORECAST, way)
    assert told["cities"] == ["Paris"]
    assert told["roles"] == ["user", "assistant", "tool", "assistant"]
    assert told["answer"] == REPORT


def test_structured_output(run: Run) -> None:
    told = run("structured.mjs", PORTRAIT)
    assert told["plain"] == told["streamed"] == ANNA.model_dump()
    assert told["finish"] == "stop"


def test_embeddings(run: Run) -> None:
    vectors = run("embeddings.mjs", EMBEDDING_MODEL, HELLO, STORY)
    assert [len(vector) for vector in vectors] == [384, 384]


def test_errors_are_the_package_s_own(run: Run) -> None:
    told = run("errors.mjs", TOO_LONG)
    seen = {name: (error["kind"], error["status"], error["code"]) for name, error in told.items()}
    assert seen == {
        "long": ("BadRequestError", 400, "context_length_exceeded"),
        "longStream": ("BadRequestError", 400, "context_length_exceeded"),
        "model": ("NotFoundError", 404, "model_not_found"),
        "field": ("BadRequestError", 400, "invalid_value"),
    }
    assert told["field"]["param"] == "top_p"
    assert "no-such-model" in told["model"]["message"]


def test_responses(run: Run) -> None:
    told = run("responses.mjs", INTRODUCTION, WHO_AM_I, WEATHER_IN_PARIS, FORECAST)
    assert "Anna" in told["second"]
    assert told["deltas"] == told["first"]
    assert told["events"][0] == "response.created"
    assert told["events"][-1] == "response.completed"
    assert told["arguments"] == {"city": "Paris"}
    assert told["report"] == REPORT
