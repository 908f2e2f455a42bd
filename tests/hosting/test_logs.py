"""A record is one line, whatever is in it; lines are written by a thread that holds up nobody."""

import json
import logging
import os
import threading
import warnings
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.request_context import request_id
from core.setting_types import LogFormat
from hosting.log_lines import JsonLines, TextLines, formatter_of
from hosting.log_output import QueuedLines, inherited, writing_logs

FORGED = "2026-11-21T00:00:00.000Z ERROR root request=- the server burns"
HOSTILE = (
    f"hello\n{FORGED}",
    f"hello\r\n{FORGED}",
    f"hello\x85{FORGED}",
    f"hello\u2028{FORGED}",
    f"hello\x1b[2K\r{FORGED}",
    "half a character \ud83d",
    "turned \u202e round",
    "\x00",
)


def record(message: str, *args: object, **fields: Any) -> logging.LogRecord:
    made = logging.LogRecord("a.logger", logging.INFO, "file.py", 1, message, args, None)
    vars(made).update(fields)
    return made


def failed(message: str) -> logging.LogRecord:
    try:
        raise ValueError(message)
    except ValueError as error:
        return record("it failed", exc_info=(type(error), error, error.__traceback__))


def text(made: logging.LogRecord) -> str:
    return TextLines().format(made)


def parsed(made: logging.LogRecord) -> dict[str, Any]:
    line = JsonLines().format(made)
    assert line.isascii()
    assert len(line.splitlines()) == 1
    fields: dict[str, Any] = json.loads(line)
    return fields


@pytest.fixture
def in_request() -> Iterator[None]:
    token = request_id.set("req-1")
    yield
    request_id.reset(token)


@pytest.mark.usefixtures("in_request")
def test_a_text_line_has_its_request_at_a_fixed_place() -> None:
    line = text(record("replied to %s", "one", facts={"whole": True, "total_s": 0.12345}))
    time, rest = line.split(" ", 1)
    assert datetime.fromisoformat(time).tzinfo is not None
    assert rest == "INFO a.logger request=req-1 replied to one whole=true total_s=0.123"


@pytest.mark.usefixtures("in_request")
def test_a_json_line_has_the_same_facts() -> None:
    fields = parsed(record("replied to %s", "one", facts={"status": 200, "gone": None}))
    assert datetime.fromisoformat(fields.pop("time")).tzinfo is not None
    assert fields == {
        "level": "INFO",
        "logger": "a.logger",
        "request_id": "req-1",
        "message": "replied to one",
        "status": 200,
        "gone": None,
    }


def test_lines_outside_of_requests_say_so() -> None:
    assert " request=- " in text(record("loading"))
    assert parsed(record("loading"))["request_id"] is None


@pytest.mark.parametrize("hostile", HOSTILE)
def test_no_message_fact_or_error_makes_a_line_of_its_own(hostile: str) -> None:
    for made in (record(hostile), record("%s", hostile), record("x", facts={"model": hostile})):
        assert len(text(made).splitlines()) == 1
        text(made).encode()
        parsed(made)
    first, *rest = text(failed(hostile)).splitlines()
    assert first.endswith("it failed")
    assert rest
    assert all(line.startswith("  | ") for line in rest)
    parsed(failed(hostile))


@given(st.text(), st.text())
def test_nothing_written_by_others_can_be_taken_for_a_request_or_a_fact(
    message: str, value: str
) -> None:
    line = text(record("%s", message, facts={"model": value, "last": 1}))
    assert line.split(" ", 4)[3] == "request=-"
    assert len(line.splitlines()) == 1
    shown = line[line.rindex(" model=") + len(" model=") : line.rindex(" last=1")]
    assert shown == value or json.loads(shown.replace("\\x", "\\u00")) == value


def test_a_value_that_looks_like_more_facts_is_quoted() -> None:
    line = text(record("replied", facts={"model": 'x status=200 "y"'}))
    assert line.endswith(r'replied model="x status=200 \"y\""')


def test_a_fact_can_not_pass_for_a_field_of_ours() -> None:
    fields = parsed(record("replied", facts={"level": "DEBUG", "request_id": "other"}))
    assert (fields["level"], fields["request_id"]) == ("INFO", None)


def test_an_error_is_one_string_in_json() -> None:
    fields = parsed(failed("no\nway"))
    assert fields["message"] == "it failed"
    assert fields["exception"].startswith("Traceback")
    assert fields["exception"].endswith("ValueError: no\nway")


def test_lines_of_other_libraries_that_are_wrong_are_told_all_the_same() -> None:
    assert "%d of ('a',)" in text(record("%d of", "a"))


def test_numbers_that_json_has_not_are_null() -> None:
    assert parsed(record("x", facts={"a": float("nan"), "b": float("inf")}))["a"] is None


@pytest.mark.parametrize("form", LogFormat)
def test_a_line_is_bounded(form: LogFormat) -> None:
    made = record("x" * 1_000_000, facts={"y": 1})
    assert len(formatter_of(form).format(made)) < 20_000


class Pipe:
    """A stderr that somebody reads when they like."""

    def __init__(self) -> None:
        self.reading, self.writing = os.pipe()

    def read_until(self, end: Callable[[], None]) -> list[str]:
        """All lines, read while `end` runs; the writer's end is closed then."""
        told: list[str] = []
        reader = threading.Thread(target=self._read, args=(told,))
        reader.start()
        end()
        os.close(self.writing)
        reader.join()
        return told

    def _read(self, told: list[str]) -> None:
        with open(self.reading, encoding="utf-8") as file:
            told.extend(file.read().splitlines())


@pytest.fixture
def logger() -> logging.Logger:
    """Stands alone."""
    return logging.Logger("tests.hosting")


def test_all_lines_are_there_when_it_has_ended(logger: logging.Logger) -> None:
    pipe = Pipe()
    lines = QueuedLines(JsonLines(), pipe.writing)
    logger.addHandler(lines)
    for number in range(100):
        logger.info("line %d", number)
    told = [json.loads(line)["message"] for line in pipe.read_until(lines.end)]
    assert told == [f"line {number}" for number in range(100)]


def test_a_reader_that_stands_still_holds_up_nobody_and_is_told_what_it_missed(
    logger: logging.Logger,
) -> None:
    pipe = Pipe()
    lines = QueuedLines(JsonLines(), pipe.writing)
    logger.addHandler(lines)
    for _ in range(10_000):
        logger.info("x" * 100)
    told = pipe.read_until(lines.end)
    parsed_lines = [json.loads(line) for line in told]
    num_kept = sum(line["message"] == "x" * 100 for line in parsed_lines)
    num_lost = sum(line.get("num_lost", 0) for line in parsed_lines)
    assert num_kept + num_lost == 10_000
    assert num_lost > 0


def test_a_reader_that_has_gone_is_no_error(logger: logging.Logger) -> None:
    pipe = Pipe()
    os.close(pipe.reading)
    lines = QueuedLines(JsonLines(), pipe.writing)
    logger.addHandler(lines)
    logger.info("who hears this")
    lines.end()
    os.close(pipe.writing)


def test_a_pipe_that_does_not_wait_gets_whole_lines(logger: logging.Logger) -> None:
    pipe = Pipe()
    os.set_blocking(pipe.writing, False)
    lines = QueuedLines(TextLines(), pipe.writing)
    logger.addHandler(lines)
    for _ in range(20):
        logger.info("x" * 10_000)
    told = pipe.read_until(lines.end)
    assert [line.count("x") for line in told] == [10_000] * 20


def test_warnings_and_ends_of_threads_are_lines_too(capfd: pytest.CaptureFixture[str]) -> None:
    before = threading.excepthook
    try:
        with warnings.catch_warnings(), writing_logs(LogFormat.JSON):
            warnings.simplefilter("always")
            warnings.warn("old\nnews", stacklevel=1)
            thread = threading.Thread(target=lambda: 1 / 0, name="divider")
            thread.start()
            thread.join()
            assert isinstance(inherited(), QueuedLines)
    finally:
        threading.excepthook = before
        logging.captureWarnings(False)
    of_warnings, of_threads = map(json.loads, capfd.readouterr().err.splitlines())
    assert "old\nnews" in of_warnings["message"]
    assert of_threads["message"] == "thread=divider ended"
    assert "ZeroDivisionError" in of_threads["exception"]
