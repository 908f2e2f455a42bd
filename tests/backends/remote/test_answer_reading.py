"""Answers of HTTP/1.1 in pieces of any size: what is a body, where it ends, what is refused."""

import asyncio

import httpcore2
import pytest

from backends.remote.answer_reading import MAX_BESIDE_BODY, MAX_PENDING, Answer, Unanswered

HEAD = b"HTTP/1.1 200 OK\r\nX-One: 1\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
SIZED = HEAD + b"Content-Length: 10\r\n\r\n"


class Flow(asyncio.ReadTransport):
    """Says whether the server is made to wait."""

    is_paused = False

    def pause_reading(self) -> None:
        self.is_paused = True

    def resume_reading(self) -> None:
        self.is_paused = False


def answer(*pieces: bytes, read_s: float = 2.0) -> Answer:
    made = Answer(Flow(), read_s)
    for piece in pieces:
        made.feed(piece)
    return made


async def body_of(read: Answer) -> bytes:
    await read.begun()
    body = b""
    while (piece := await read.next_piece()) is not None:
        body += piece
    return body


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
@pytest.mark.parametrize(
    "whole",
    [
        SIZED + b"0123456789",
        CHUNKED + b"4\r\n0123\r\n6;ext=1\r\n456789\r\n0\r\n\r\n",
        CHUNKED + b"a\r\n0123456789\r\n0\r\nTrailer: t\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\nX-Not: 1\r\n\r\n" + SIZED + b"0123456789",
    ],
    ids=["sized", "chunks", "trailers", "continued"],
)
async def test_an_answer_is_the_same_however_it_is_cut(whole: bytes, size: int) -> None:
    read = answer(*(whole[at : at + size] for at in range(0, len(whole), size)))
    assert await body_of(read) == b"0123456789"
    assert (read.status, read.headers[0]) == (200, (b"X-One", b"1"))
    assert not any(name in (b"X-Not", b"Trailer") for name, _ in read.headers)
    assert read.leaves_connection_clean


async def test_pieces_that_came_together_are_one() -> None:
    read = answer(CHUNKED + b"2\r\nab\r\n2\r\ncd\r\n")
    assert await read.next_piece() == b"abcd"
    assert not read.leaves_connection_clean


async def test_an_answer_of_no_known_length_ends_with_its_connection() -> None:
    read = answer(HEAD + b"\r\nall there is")
    read.end()
    assert await body_of(read) == b"all there is"
    assert not read.leaves_connection_clean


@pytest.mark.parametrize(
    "broken",
    [
        b"SSH-2.0\r\n\r\n",
        HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n",
        HEAD + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        CHUNKED + b"zz\r\n",
        CHUNKED + b"2\r\nabc\r\n",
    ],
    ids=["other", "two lengths", "two framings", "no size", "longer chunk"],
)
async def test_what_is_no_answer_is_an_error(broken: bytes) -> None:
    read = answer(broken)
    with pytest.raises(httpcore2.RemoteProtocolError):
        await body_of(read)
    assert not read.leaves_connection_clean


async def test_who_changes_the_protocol_has_answered_and_is_left() -> None:
    read = answer(b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nraw")
    assert await body_of(read) == b""
    assert (read.status, read.leaves_connection_clean) == (101, False)


async def test_a_body_that_ends_early_is_an_error_behind_what_came() -> None:
    read = answer(SIZED + b"012")
    read.end()
    assert await read.next_piece() == b"012"
    with pytest.raises(httpcore2.RemoteProtocolError):
        await read.next_piece()


async def test_a_connection_that_ends_without_a_byte_is_told_apart() -> None:
    silent, half = answer(), answer(HEAD)
    silent.end()
    half.end()
    with pytest.raises(Unanswered):
        await silent.begun()
    with pytest.raises(httpcore2.ReadError) as raised:
        await half.begun()
    assert not isinstance(raised.value, Unanswered)


@pytest.mark.parametrize(
    ("start", "more"),
    [
        (HEAD, b"X-More: and more\r\n"),
        (HEAD + b"X-Long: ", b"and longer"),
        (CHUNKED + b"1\r\na\r\n0\r\n", b"X-Trailer: t\r\n"),
        (CHUNKED + b"1;", b"extension=of-a-chunk;"),
        (b"", b"HTTP/1.1 103 Hints\r\n\r\n"),
    ],
    ids=["headers", "one header", "trailers", "extensions", "hints"],
)
async def test_what_is_no_body_is_bounded(start: bytes, more: bytes) -> None:
    read = answer(start)
    for _ in range(MAX_BESIDE_BODY // 1000 + 1):
        read.feed(more * (1000 // len(more) + 1))
    with pytest.raises(httpcore2.RemoteProtocolError):
        await body_of(read)


async def test_bytes_behind_an_answer_cost_the_connection() -> None:
    read = answer(SIZED + b"0123456789" + SIZED + b"9876543210")
    assert await body_of(read) == b"0123456789"
    assert not read.leaves_connection_clean


async def test_a_server_that_closes_or_an_unread_rest_leaves_nothing_to_use() -> None:
    closing = answer(HEAD + b"Connection: close\r\nContent-Length: 1\r\n\r\na")
    assert await body_of(closing) == b"a"
    assert not closing.leaves_connection_clean
    assert not answer(SIZED + b"0123456789").leaves_connection_clean


async def test_a_slow_reader_makes_the_server_wait() -> None:
    flow = Flow()
    read = Answer(flow, 2.0)
    read.feed(HEAD + b"Content-Length: 1000000\r\n\r\n")
    for _ in range(MAX_PENDING // 1000 + 1):
        read.feed(b"x" * 1000)
    assert flow.is_paused
    await read.next_piece()
    assert not flow.is_paused


async def test_a_silent_server_is_a_timeout_and_stays_one() -> None:
    read = answer(CHUNKED + b"2\r\nab\r\n", read_s=0.01)
    assert await read.next_piece() == b"ab"
    for _ in range(2):
        with pytest.raises(httpcore2.ReadTimeout):
            await read.next_piece()
