"""Answers and events come out the same wherever the bytes are cut."""

import pytest

from benchmarks.client.wire import EventReader, ResponseReader, WireError

EVENTS = b': comment\r\n\r\ndata: {"a":1}\n\nevent: x\ndata:one\ndata: two\r\n\r\ndata: [DONE]\n\n'
READ = [b'{"a":1}', b"one\ntwo", b"[DONE]"]


def chunked(*parts: bytes) -> bytes:
    return b"".join(b"%X;x=y\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


HEAD = b"HTTP/1.1 200 OK\r\ntransfer-Encoding: Chunked\r\nX: y\r\n\r\n"
STREAM = HEAD + chunked(EVENTS[:7], EVENTS[7:40], EVENTS[40:])


def read(*parts: bytes) -> tuple[ResponseReader, list[bytes]]:
    response, events = ResponseReader(), EventReader()
    found = [data for part in parts for data in events.feed(response.feed(part))]
    return response, found


@pytest.mark.parametrize("cut", range(len(STREAM) + 1))
def test_a_stream_cut_anywhere_reads_alike(cut: int) -> None:
    response, found = read(STREAM[:cut], STREAM[cut:])
    assert found == READ
    assert (response.status, response.is_complete, response.keeps_alive) == (200, True, True)


def test_a_stream_in_single_bytes_reads_alike() -> None:
    response, found = read(*(bytes([byte]) for byte in STREAM))
    assert found == READ
    assert response.is_complete


def test_an_answer_is_not_complete_before_its_last_byte() -> None:
    response, _ = read(STREAM[:-1])
    assert not response.is_complete


def test_a_body_of_a_known_length_ends_there() -> None:
    head = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\ncontent-length: 3\r\n\r\n"
    response = ResponseReader()
    assert response.feed(head + b"no") == b"no"
    assert not response.is_complete
    assert response.feed(b"!") == b"!"
    assert response.is_complete
    assert (response.status, response.keeps_alive) == (400, False)


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 yes OK\r\n\r\n",
        HEAD + b"xyz\r\n",
        HEAD + b"1\r\nab\r\n",
    ],
)
def test_what_is_no_answer_is_refused(answer: bytes) -> None:
    with pytest.raises(WireError):
        ResponseReader().feed(answer)
