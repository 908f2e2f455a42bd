"""Owns how text is written into a grammar as itself."""

import json


def quoted(text: str) -> str:
    """As a string of Lark."""
    return json.dumps(text, ensure_ascii=False)
