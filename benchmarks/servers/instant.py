"""A server of nothing: each request's tokens at once, an event each. Shows the client's ceiling."""

import asyncio
import json
import sys

import uvloop

_EVENT = b'data: {"choices":[{"index":0,"text":" word","finish_reason":null}]}\n\n'
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
_WELL = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One connection, to its end."""
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            length = [line for line in head.lower().split(b"\r\n") if b"content-length" in line]
            if not length:
                writer.write(_WELL)
                continue
            body = json.loads(await reader.readexactly(int(length[0].split(b":")[1])))
            await _stream(writer, body["max_tokens"])
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def _stream(writer: asyncio.StreamWriter, num_tokens: int) -> None:
    writer.write(_HEAD)
    for _ in range(num_tokens):
        writer.write(_chunk(_EVENT))
        await writer.drain()
        # Each event in a packet of its own, as a server that computes would send it.
        await asyncio.sleep(0)
    usage = {"prompt_tokens": 1, "completion_tokens": num_tokens}
    last = json.dumps({"choices": [], "usage": usage}).encode()
    writer.write(_chunk(b"data: " + last + b"\n\ndata: [DONE]\n\n") + b"0\r\n\r\n")


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


async def _serve(port: int) -> None:
    server = await asyncio.start_server(answer, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1])))
