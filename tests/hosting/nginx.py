"""Debian's nginx in front of a server, found on this machine or fetched as its package."""

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from core.settings_sources import default_cache_dir
from tests.engines import listener_on_loopback

# What docs/security.md says, but for addresses and TLS.
ADVISED = """
upstream jarvis {
    server 127.0.0.1:%(server)d;
    keepalive 32;
}
server {
    listen 127.0.0.1:%(port)d;
    client_max_body_size 16m;
    location / {
        proxy_pass http://jarvis;
        proxy_http_version 1.1;
        proxy_set_header Connection "";
        proxy_set_header Host $host;
        proxy_read_timeout 600s;
    }
}
"""
# Nothing but where to.
MINIMAL = """
server {
    listen 127.0.0.1:%(port)d;
    location / {
        proxy_pass http://127.0.0.1:%(server)d;
    }
}
"""
_AROUND = """
daemon off;
master_process off;
pid nginx.pid;
error_log stderr warn;
events {}
http {
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    %s
}
"""


@contextmanager
def nginx_before(server: int, config: str, folder: Path) -> Iterator[str]:
    """Its base URL, in front of the server on port `server`."""
    with listener_on_loopback() as listener:
        port = listener.getsockname()[1]
    (folder / "nginx.conf").write_text(_AROUND % (config % {"server": server, "port": port}))
    command = [nginx_binary(), "-p", str(folder), "-c", "nginx.conf", "-e", "stderr"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        _wait_listening(process, port)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.communicate()


def nginx_binary() -> str:
    """A test is not left out because it is missing: it fails, and says how to get it."""
    on_path = shutil.which("nginx")
    if on_path is not None:
        return on_path
    folder = default_cache_dir(os.environ) / "nginx"
    if not (folder / "usr/sbin/nginx").exists():
        _fetch(folder)
    return str(folder / "usr/sbin/nginx")


def _fetch(folder: Path) -> None:
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        pytest.fail("nginx is not on PATH, and this is no Debian that has it: install nginx")
    folder.mkdir(parents=True, exist_ok=True)
    for command in ("apt-get download nginx", "dpkg-deb -x nginx_*.deb ."):
        done = subprocess.run(command, shell=True, cwd=folder, capture_output=True, text=True)
        if done.returncode:
            pytest.fail(f"nginx is not on PATH, and {command!r} failed: {done.stderr}")


def _wait_listening(process: subprocess.Popen[str], port: int) -> None:
    while process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except ConnectionRefusedError:
            continue
    pytest.fail(f"nginx ended: {process.stderr and process.stderr.read()}")
