"""Owns the record of which components are installed, kept beside them. Installs nothing."""

import json
import os
from dataclasses import dataclass
from pathlib import Path

_PENDING = "pending"


@dataclass(frozen=True, slots=True)
class Stamps:
    """One fingerprint a component. A component is pending from before its first change on."""

    path: Path

    def is_current(self, component: str, fingerprint: str) -> bool:
        return self._read().get(component) == fingerprint

    @property
    def has_interrupted(self) -> bool:
        """Whether an earlier set-up ended midway."""
        return _PENDING in self._read().values()

    def begin(self, component: str) -> None:
        self._write({**self._read(), component: _PENDING})

    def finish(self, component: str, fingerprint: str) -> None:
        self._write({**self._read(), component: fingerprint})

    def _read(self) -> dict[str, str]:
        try:
            content = json.loads(self.path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        if not isinstance(content, dict):
            return {}
        return {str(name): str(value) for name, value in content.items()}

    def _write(self, stamps: dict[str, str]) -> None:
        draft = self.path.with_suffix(".new")
        draft.write_text(json.dumps(stamps, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        os.replace(draft, self.path)
