"""Routes by which other servers wrote and read files, started programs and fetched URLs. Here they
are not; names of models and responses are names, and no paths.
"""

import pytest

from tests.threats.conftest import Scripted
from tests.threats.oracle import chat_attack, refusal

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(60)]

ROUTES = {
    "CVE-2026-34753": ("/v1/batches", "/v1/files", "/v1/uploads"),
    "CVE-2026-7482": ("/api/create", "/api/blobs/sha256:0", "/api/push"),
    "CVE-2024-37032": ("/api/pull", "/api/blobs/sha256:../../x"),
    "CVE-2024-39719": ("/api/create", "/api/show"),
    "CVE-2024-39721": ("/api/create",),
    "CVE-2024-39722": ("/api/push",),
    "CVE-2025-44779": ("/api/pull", "/api/delete"),
    "CVE-2026-7020": ("/api/delete",),
    "CVE-2025-63389": ("/api/delete", "/api/copy", "/api/generate", "/api/chat"),
    "llama.cpp-26315": ("/slots/0?action=save", "/slots/0?action=restore", "/slots"),
    "CVE-2026-43631": ("/models/load", "/models/unload", "/sleep", "/wake_up"),
    "CVE-2024-2029": ("/v1/audio/transcriptions", "/tts"),
    "CVE-2024-5181": ("/models/apply", "/backend/shutdown"),
    "CVE-2024-5182": ("/models/delete/..%2fx", "/models/apply", "/models/jobs/x"),
    "CVE-2024-6868": ("/models/apply",),
    "CVE-2026-42271": ("/mcp", "/mcp-rest/test/connection", "/prompts/test", "/config/update"),
    "CVE-2024-5751": ("/config/update", "/user/new", "/key/generate", "/sso/callback"),
    "CVE-2025-10164": ("/update_weights_from_tensor", "/load_lora_adapter", "/collective_rpc"),
    "CVE-2026-3059": ("/generate", "/encode", "/update_weights_from_disk", "/server_info"),
    "CVE-2026-35050": ("/v1/internal/model/load", "/v1/internal/lora/load"),
    "CVE-2026-35483": ("/gradio_api/call/load_template", "/file=/etc/passwd"),
    "CVE-2025-62364": ("/gradio_api/file=/etc/passwd", "/gradio_api/upload"),
    "CVE-2024-42477": ("/rpc",),
    "CVE-2026-5760": ("/v1/template", "/chat_template"),
}
NAMES = {
    "CVE-2024-37032": "sha256:../../../../etc/passwd",
    "CVE-2024-39722": "/dev/random",
    "CVE-2024-39719": "/etc/shadow",
    "CVE-2025-47277": "tcp://127.0.0.1:5555",
    "CVE-2024-6868": "file:///etc/passwd",
    "CVE-2026-41523": "https://evil.example/model.gguf",
    "CVE-2026-35484": "..\\..\\x.gguf",
    "zero": "jarvis-tiny\x00.gguf",
}


@pytest.mark.parametrize("paths", ROUTES.values(), ids=ROUTES.keys())
async def test_it_is_not_found(scripted_target: Scripted, paths: tuple[str, ...]) -> None:
    for path in paths:
        for method in ("GET", "POST", "PUT", "DELETE"):
            refusal(await scripted_target.client.request(method, path, json={"x": 1}), 404)


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES.keys())
async def test_the_name_of_a_model_is_no_path(scripted_target: Scripted, name: str) -> None:
    num_before = len(scripted_target.backend.requests)
    error = await scripted_target.refuses(chat_attack(model=name), 404)
    assert error["code"] == "model_not_found"
    assert "directory" not in error["message"].lower()
    assert len(scripted_target.backend.requests) == num_before + 2
