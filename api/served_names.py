"""Owns which model names a request may use."""

from dataclasses import dataclass

from core.errors import ModelNotServed

ANY_NAME = "*"


@dataclass(frozen=True, slots=True)
class ServedNames:
    """The served id and its aliases; `*` among them accepts any name."""

    model_id: str
    aliases: tuple[str, ...]

    @property
    def listed(self) -> tuple[str, ...]:
        """The names that `/v1/models` shows."""
        return (self.model_id, *(alias for alias in self.aliases if alias != ANY_NAME))

    @property
    def accepts_any(self) -> bool:
        return ANY_NAME in self.aliases

    def lists(self, name: str) -> bool:
        return name in self.listed

    def check(self, name: str | None) -> None:
        """Raises ModelNotServed. No name, or an empty one, means the model that is served."""
        if name and not self.accepts_any and not self.lists(name):
            raise ModelNotServed(
                f"the model {name[:200]!r} is not served here; served: {', '.join(self.listed)}",
                param="model",
            )
