"""Owns how a body becomes JSON: msgspec, which is made for speed."""

from typing import Any

import msgspec
from starlette.responses import Response


class JsonResponse(Response):
    """A response from plain values."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return msgspec.json.encode(content)
