"""Finding a model: files, folders, and downloads from a hub that is a server on this machine."""

import hashlib
import json
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from backends.model_source import Hub, ModelKind, ResolvedModel, choose_gguf, resolve_model
from core.errors import ModelLoadError, ModelNotFoundOnHub
from core.settings import load_settings

COMMIT = "0123456789abcdef0123456789abcdef01234567"
FOLDER = ("config.json", "model.safetensors", "tokenizer.json", "pytorch_model.bin")
QUANTS = ("m-Q4_K_M.gguf", "m-Q8_0.gguf", "mmproj-m-F16.gguf", "README.md")
SPLIT = ("Q8_0/m-Q8_0-00001-of-00002.gguf", "Q8_0/m-Q8_0-00002-of-00002.gguf")


@dataclass
class FakeHub:
    """Repositories by id, as lists of files; a gated one is refused without the right token."""

    repos: dict[str, tuple[str, ...]]
    gated: frozenset[str] = frozenset()
    token: str = "hf_good"
    fetched: list[str] = field(default_factory=list)
    answers_500: bool = False


class Handler(BaseHTTPRequestHandler):
    """Answers for the hub that its server carries."""

    protocol_version = "HTTP/1.1"

    @property
    def hub(self) -> FakeHub:
        assert isinstance(self.server, HubServer)
        return self.server.hub

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""

    def do_HEAD(self) -> None:
        self.answer(with_body=False)

    def do_GET(self) -> None:
        self.answer(with_body=True)

    def answer(self, *, with_body: bool) -> None:
        parts = self.path.partition("?")[0].strip("/").split("/")
        is_api = parts[:2] == ["api", "models"]
        names = parts[2:] if is_api else parts
        repo = "/".join(names[:2])
        if self.hub.answers_500:
            return self.send(500, b"{}", {}, with_body=with_body)
        if repo not in self.hub.repos:
            code = {"X-Error-Code": "RepoNotFound"}
            return self.send(404, b"{}", code, with_body=with_body)
        if repo in self.hub.gated and self.headers["Authorization"] != f"Bearer {self.hub.token}":
            return self.send(403, b"{}", {"X-Error-Code": "GatedRepo"}, with_body=with_body)
        if is_api:
            body = self.listing(repo, names[2:])
            return self.send(200, body, {}, with_body=with_body)
        return self.file(repo, "/".join(names[4:]), with_body=with_body)

    def listing(self, repo: str, rest: list[str]) -> bytes:
        files = self.hub.repos[repo]
        if rest[:1] == ["tree"]:
            entries = [{"type": "file", "path": f, "size": len(f), "oid": "0" * 40} for f in files]
            return json.dumps(entries).encode()
        siblings = [{"rfilename": file} for file in files]
        return json.dumps({"id": repo, "sha": COMMIT, "siblings": siblings}).encode()

    def file(self, repo: str, name: str, *, with_body: bool) -> None:
        if name not in self.hub.repos[repo]:
            code = {"X-Error-Code": "EntryNotFound"}
            return self.send(404, b"", code, with_body=with_body)
        if with_body:
            self.hub.fetched.append(name)
        etag = hashlib.sha1(name.encode()).hexdigest()
        headers = {"ETag": f'"{etag}"', "X-Repo-Commit": COMMIT}
        return self.send(200, name.encode(), headers, with_body=with_body)

    def send(self, status: int, body: bytes, headers: dict[str, str], *, with_body: bool) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if with_body:
            self.wfile.write(body)


class HubServer(ThreadingHTTPServer):
    """Any free loopback port."""

    daemon_threads = True

    def __init__(self, hub: FakeHub) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.hub = hub


@pytest.fixture
def fake() -> FakeHub:
    repos = {
        "owner/folder": FOLDER,
        "owner/m-GGUF": QUANTS,
        "owner/split-GGUF": SPLIT,
        "owner/gated": FOLDER,
    }
    return FakeHub(repos, frozenset({"owner/gated"}))


@pytest.fixture
def hub(fake: FakeHub, tmp_path: Path) -> Iterator[Hub]:
    server = HubServer(fake)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield Hub(f"http://127.0.0.1:{server.server_address[1]}", tmp_path / "hub")
    server.shutdown()
    thread.join()
    server.server_close()


def resolved(
    name: str, hub: Hub | None = None, engine: str = "vllm", **environ: str
) -> ResolvedModel:
    flags = {"JARVIS_MODEL_NAME": name, "JARVIS_INFERENCE_ENGINE": engine}
    return resolve_model(load_settings(flags, environ=environ, env_file=None), hub)


def test_a_gguf_file_is_itself(tmp_path: Path) -> None:
    path = tmp_path / "a.Q8_0.gguf"
    path.touch()
    expected = ResolvedModel(path, ModelKind.GGUF, "a.Q8_0")
    assert resolved(str(path), engine="llama_cpp") == expected
    assert resolved(str(path)) == expected


def test_a_folder_is_for_vllm_alone(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    expected = ResolvedModel(tmp_path, ModelKind.FOLDER, tmp_path.name)
    assert resolved(str(tmp_path)) == expected
    with pytest.raises(ModelLoadError, match="JARVIS_INFERENCE_ENGINE=vllm"):
        resolved(str(tmp_path), engine="llama_cpp")


def test_a_folder_that_holds_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelLoadError, match=r"no config\.json"):
        resolved(str(tmp_path))
    (tmp_path / "x.gguf").touch()
    with pytest.raises(ModelLoadError, match=r"name one of x\.gguf"):
        resolved(str(tmp_path))


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.bin"
    path.touch()
    with pytest.raises(ModelLoadError, match=r"neither a \.gguf file nor a folder"):
        resolved(str(path))


@pytest.mark.parametrize("name", ["missing.gguf", "/no/such/model.gguf", "a/b.gguf", "just-a-name"])
def test_a_name_that_means_nothing_asks_no_hub(name: str, hub: Hub) -> None:
    with pytest.raises(ModelLoadError, match="no such file or folder"):
        resolved(name, hub)


def test_a_hub_folder_comes_without_pickled_weights(hub: Hub, fake: FakeHub) -> None:
    model = resolved("owner/folder", hub)
    assert (model.kind, model.model_id) == (ModelKind.FOLDER, "owner/folder")
    files = {path.name for path in model.path.iterdir()}
    assert files == {"config.json", "model.safetensors", "tokenizer.json"}
    assert "pytorch_model.bin" not in fake.fetched


def test_a_second_time_nothing_is_fetched_again(hub: Hub, fake: FakeHub) -> None:
    first = resolved("owner/folder", hub)
    fake.fetched.clear()
    assert resolved("owner/folder", hub) == first
    assert fake.fetched == []


@pytest.mark.parametrize("engine", ["llama_cpp", "vllm"])
def test_a_quant_names_one_file(hub: Hub, fake: FakeHub, engine: str) -> None:
    model = resolved("owner/m-GGUF:q4_k_m", hub, engine)
    assert (model.path.name, model.kind) == ("m-Q4_K_M.gguf", ModelKind.GGUF)
    assert model.path.read_bytes() == b"m-Q4_K_M.gguf"
    assert fake.fetched == ["m-Q4_K_M.gguf"]


def test_all_parts_of_a_split_file_are_fetched(hub: Hub, fake: FakeHub) -> None:
    model = resolved("owner/split-GGUF:Q8_0", hub, "llama_cpp")
    assert model.path.name == Path(SPLIT[0]).name
    assert tuple(fake.fetched) == SPLIT


def test_a_wrong_quant_lists_what_there_is(hub: Hub) -> None:
    with pytest.raises(ModelNotFoundOnHub, match=r"m-Q4_K_M\.gguf, m-Q8_0\.gguf") as caught:
        resolved("owner/m-GGUF:Q2_K", hub, "llama_cpp")
    assert "mmproj" not in str(caught.value)


def test_several_quants_want_a_choice(hub: Hub) -> None:
    with pytest.raises(ModelNotFoundOnHub, match="has several such"):
        resolved("owner/m-GGUF", hub, "llama_cpp")


def test_a_repository_without_gguf_is_refused_for_llama_cpp(hub: Hub, fake: FakeHub) -> None:
    with pytest.raises(ModelLoadError, match="owner/folder-GGUF"):
        resolved("owner/folder", hub, "llama_cpp")
    assert fake.fetched == []


def test_a_missing_repository_is_named(hub: Hub) -> None:
    with pytest.raises(ModelNotFoundOnHub, match=r"owner/none.*no such repository"):
        resolved("owner/none", hub)


def test_a_gated_repository_says_how_to_get_in(hub: Hub) -> None:
    with pytest.raises(ModelNotFoundOnHub, match=r"gated.*HF_TOKEN") as caught:
        resolved("owner/gated", hub, HF_TOKEN="hf_bad")
    assert "hf_bad" not in str(caught.value)
    assert resolved("owner/gated", hub, HF_TOKEN="hf_good").kind is ModelKind.FOLDER


def test_a_failing_hub_is_told_with_its_status(hub: Hub, fake: FakeHub) -> None:
    fake.answers_500 = True
    with pytest.raises(ModelNotFoundOnHub, match="the hub answered 500"):
        resolved("owner/folder", hub)


def unreachable(cache_dir: Path | None) -> Hub:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    return Hub(f"http://127.0.0.1:{port}", cache_dir)


@pytest.mark.parametrize("name", ["owner/folder", "owner/m-GGUF:Q8_0"])
def test_an_unreachable_hub_is_one_line(name: str, tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundOnHub, match="can't be reached") as caught:
        resolved(name, unreachable(tmp_path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["owner/folder", "owner/m-GGUF:Q8_0"], ids=["folder", "gguf"])
def test_without_network_an_earlier_download_serves(name: str, hub: Hub) -> None:
    first = resolved(name, hub)
    assert resolved(name, unreachable(hub.cache_dir)) == first


def test_quants_that_begin_alike_are_told_apart() -> None:
    files = ["m-Q4_K.gguf", "m-Q4_K_M.gguf", "m.F16.gguf", "m.BF16.gguf"]
    assert choose_gguf("r", "Q4_K", files) == ("m-Q4_K.gguf",)
    assert choose_gguf("r", "F16", files) == ("m.F16.gguf",)
