"""A server of nothing: each request's tokens at once, an event each. Shows the client's ceiling."""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable

import uvloop

# As long as the events of servers that say all they can.
_EVENT = (
    b'data: {"id":"cmpl-2f6c1d0e4b7a48f3a5d9","object":"text_completion","created":1760000000,'
    b'"model":"bench","choices":[{"index":0,"text":" word","logprobs":null,"finish_reason":null,'
    b'"stop_reason":null}],"usage":null}\n\n'
)
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
_MODELS = b'{"object":"list","data":[{"id":"bench","object":"model","owned_by":"bench"}]}'
_WELL = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (
    len(_MODELS),
    _MODELS,
)
# Returns once it is time for the token of that number.
Wait = Callable[[int], Awaitable[None]]


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One connection, to its end."""
    await serve_connection(reader, writer, lambda: _at_once)


async def serve_connection(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, begin: Callable[[], Wait]
) -> None:
    """`begin` is called when a request has come whole. One without a body gets the models."""
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            length = [line for line in head.lower().split(b"\r\n") if b"content-length" in line]
            if not length:
                writer.write(_WELL)
                continue
            body = await reader.readexactly(int(length[0].split(b":")[1]))
            wait = begin()
            await _stream(writer, json.loads(body)["max_tokens"], wait)
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def _at_once(_: int) -> None:
    # Each event in a packet of its own, as a server that computes would send it.
    await asyncio.sleep(0)


async def _stream(writer: asyncio.StreamWriter, num_tokens: int, wait: Wait) -> None:
    head = _HEAD
    for number in range(num_tokens):
        await wait(number)
        writer.write(head + _chunk(_EVENT))
        head = b""
        await writer.drain()
    usage = {"prompt_tokens": 1, "completion_tokens": num_tokens}
    last = json.dumps({"choices": [], "usage": usage}).encode()
    writer.write(head + _chunk(b"data: " + last + b"\n\ndata: [DONE]\n\n") + b"0\r\n\r\n")


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


async def _serve(port: int) -> None:
    server = await asyncio.start_server(answer, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1])))
