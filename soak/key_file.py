"""Owns the file of keys that the server reads again while it runs."""

import json
import os
from pathlib import Path

from soak.crowd_plan import KeyFile

_SPARE = "spare"
_ROLES = 'roles = ["use", "metrics", "admin"]'


def write_keys(file: KeyFile, *, with_spare: bool) -> None:
    """In one move: no reader finds half of it."""
    keys = {**file.keys, _SPARE: file.spare} if with_spare else file.keys
    # JSON's texts are TOML's.
    tables = [f"[keys.{name}]\nkey = {json.dumps(key)}\n{_ROLES}\n" for name, key in keys.items()]
    path = Path(file.path)
    new = path.with_suffix(".new")
    new.touch(mode=0o600)
    new.write_text("\n".join(tables), encoding="utf-8")
    os.replace(new, path)
