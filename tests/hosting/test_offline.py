"""JARVIS_OFFLINE: what any library tries is refused, in this process's children too.

Each attempt is made in a process of its own: what goes offline stays so.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from core.errors import ConfigurationError
from core.upstreams import Upstream, UpstreamKind, UpstreamPlan
from hosting.offline import check_nothing_elsewhere

ROOT = Path(__file__).resolve().parents[2]
# Addresses that are set aside for documentation: nobody is there.
ELSEWHERE = "192.0.2.1"
REFUSED = "JARVIS_OFFLINE=true: nothing leaves this machine"

OFFLINE = """
import asyncio, os, socket, sys
from core.upstreams import UpstreamPlan
from hosting.event_loop import EventLoop
from hosting.offline import go_offline
go_offline(UpstreamPlan(()), os.environ)
def run(work):
    with asyncio.Runner(loop_factory=EventLoop) as runner:
        return runner.run(work)
def attempt(name, act):
    try:
        act()
    except BaseException as error:
        while error is not None:
            if "JARVIS_OFFLINE" in str(error):
                return print(name, "refused")
            error = error.__cause__ or error.__context__
        raise
    print(name, "WENT OUT")
"""

ATTEMPTS = """
import urllib.request, requests, httpx2
async def by_loop(host):
    await asyncio.get_running_loop().create_connection(asyncio.Protocol, host, 80)
async def by_client(host):
    async with httpx2.AsyncClient() as client:
        await client.get(f"http://{host}/")
async def by_datagram():
    await asyncio.get_running_loop().create_datagram_endpoint(
        asyncio.DatagramProtocol, remote_addr=("ELSEWHERE", 53))
async def by_any_datagram():
    await asyncio.get_running_loop().create_datagram_endpoint(
        asyncio.DatagramProtocol, local_addr=("0.0.0.0", 0))
async def by_look_up():
    await asyncio.get_running_loop().getaddrinfo("example.org", 80)
async def by_name_look_up():
    await asyncio.get_running_loop().getnameinfo(("ELSEWHERE", 80))
async def by_socket():
    client = socket.socket()
    client.setblocking(False)
    await asyncio.get_running_loop().sock_connect(client, ("ELSEWHERE", 80))
datagrams = lambda: socket.socket(type=socket.SOCK_DGRAM)
for host in ("ELSEWHERE", "example.org", "[2001:db8::1]"):
    bare = host.strip("[]")
    attempt("urllib", lambda: urllib.request.urlopen(f"http://{host}/", timeout=2))
    attempt("requests", lambda: requests.get(f"http://{host}/", timeout=2))
    attempt("httpx2", lambda: httpx2.get(f"http://{host}/", timeout=2))
    attempt("socket", lambda: socket.create_connection((bare, 80), 2))
    attempt("loop", lambda: run(by_loop(bare)))
    attempt("asyncio", lambda: asyncio.run(by_client(host)))
    attempt("uvloop", lambda: run(by_client(host)))
attempt("sendto", lambda: datagrams().sendto(b"x", ("ELSEWHERE", 53)))
attempt("sendmsg", lambda: datagrams().sendmsg([b"x"], [], 0, ("ELSEWHERE", 53)))
attempt("connect_ex", lambda: socket.socket().connect_ex(("ELSEWHERE", 80)))
attempt("gethostbyname", lambda: socket.gethostbyname("example.org"))
attempt("gethostbyaddr", lambda: socket.gethostbyaddr("ELSEWHERE"))
attempt("getnameinfo", lambda: socket.getnameinfo(("ELSEWHERE", 80), 0))
for work in (by_datagram, by_any_datagram, by_look_up, by_name_look_up, by_socket):
    attempt(work.__name__, lambda: run(work()))
""".replace("ELSEWHERE", ELSEWHERE)

LOOPBACK = """
import threading, urllib.request
async def echo(reader, writer):
    writer.write(await reader.readline()); await writer.drain(); writer.close()
async def both():
    server = await asyncio.start_server(echo, "localhost", 0)
    port = server.sockets[0].getsockname()[1]
    for host in ("127.0.0.1", "localhost"):
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(b"hi\\n")
        assert await reader.readline() == b"hi\\n"
        writer.close()
    def plain():
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(b"hi\\n")
            assert client.recv(9) == b"hi\\n"
    await asyncio.to_thread(plain)
    server.close()
run(both())
one, two = socket.socketpair()
with socket.socket(socket.AF_UNIX) as files:
    try: files.connect("/nowhere")
    except FileNotFoundError: print("loopback works")
"""

CHILD = """
import subprocess
code = "import socket, sys; print('core' in sys.modules)"
code += "; socket.create_connection(('ELSEWHERE', 80), 2)"
done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
print(done.stdout, done.stderr)
""".replace("ELSEWHERE", ELSEWHERE)

HUB = """
import huggingface_hub.constants
from tests.engines import settings_for
from backends.model_source import resolve_model
from core.errors import ModelNotFoundOnHub
go_offline(UpstreamPlan(()), os.environ)
settings = settings_for("llama_cpp", JARVIS_MODEL_NAME="nobody/nothing-GGUF", JARVIS_OFFLINE="true")
try: resolve_model(settings)
except ModelNotFoundOnHub as error: print("hub:", error)
"""


def offline(code: str, **variables: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", OFFLINE + code],
        cwd=ROOT,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.timeout(60)
def test_no_library_gets_out() -> None:
    lines = offline(ATTEMPTS).splitlines()
    assert len(lines) == 32
    assert [line for line in lines if not line.endswith(" refused")] == []


@pytest.mark.timeout(60)
def test_a_proxy_on_this_machine_carries_nothing_out() -> None:
    code = "import urllib.request\nprint(urllib.request.getproxies())\n"
    proxies = dict.fromkeys(("http_proxy", "HTTPS_PROXY", "ALL_PROXY"), "http://127.0.0.1:3128")
    assert offline(code, **proxies) == "{}\n"


@pytest.mark.timeout(60)
def test_this_machine_stays_reachable() -> None:
    assert "loopback works" in offline(LOOPBACK)


@pytest.mark.timeout(60)
def test_python_children_are_offline_too_and_see_none_of_our_modules() -> None:
    told = offline(CHILD)
    assert REFUSED in told
    assert told.startswith("False")


@pytest.mark.timeout(60)
def test_a_model_that_is_not_kept_is_not_looked_for() -> None:
    assert "hub: nobody/nothing-GGUF" in offline(HUB)


def plan(*urls: str) -> UpstreamPlan:
    return UpstreamPlan((Upstream("gpu", UpstreamKind.VLLM, urls),))


def test_servers_and_endpoints_elsewhere_are_refused_at_the_start() -> None:
    check_nothing_elsewhere(plan("http://127.0.0.1:8000/v1", "https://localhost/v1"), {})
    for url in ("http://gpu-box:8000/v1", "http://10.0.0.1/v1", "http://localhost.evil.example"):
        with pytest.raises(ConfigurationError, match="upstream gpu is on another machine"):
            check_nothing_elsewhere(plan("http://localhost/v1", url), {})
    local = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://[::1]:4318"}
    check_nothing_elsewhere(plan("http://localhost"), local)
    for endpoint in ("http://traces.example:4318", "traces.example:4317"):
        elsewhere = {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": endpoint}
        with pytest.raises(ConfigurationError, match="TRACES_ENDPOINT is on another machine"):
            check_nothing_elsewhere(plan("http://localhost"), elsewhere)
