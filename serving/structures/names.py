"""Writes the pattern of all names but some. Knows no schema.

Regular expressions here have no lookahead, so that a name is left out letter by letter. A key of
additionalProperties, as llguidance writes it, may be a declared name spelled with escapes; one that
a pattern allows may not.
"""

from collections.abc import Iterable

_SPECIAL = frozenset(r"\.+*?()|[]{}^$#&-~/")
_REST = "(?s:.*)"


class _Node:
    """A place in the tree of letters; `is_name` where a name ends."""

    __slots__ = ("children", "is_name")

    def __init__(self) -> None:
        self.children: dict[str, _Node] = {}
        self.is_name = False


def literal(text: str) -> str:
    """The pattern of a text itself."""
    return "".join(rf"\x{{{ord(c):x}}}" if _is_escaped(c) else c for c in text)


def _is_escaped(character: str) -> bool:
    return character in _SPECIAL or not character.isprintable()


def all_names_but(names: Iterable[str]) -> str:
    """An anchored pattern. Nests as deep as the longest name: refuse long ones before."""
    root = _Node()
    for name in names:
        node = root
        for character in name:
            node = node.children.setdefault(character, _Node())
        node.is_name = True
    return f"^(?:{_unlike(root)})$"


def _unlike(node: _Node) -> str:
    """What may follow the letters until here without making a name."""
    if not node.children:
        return "(?s:.+)" if node.is_name else _REST
    letters = "".join(literal(each) for each in node.children)
    options = [f"[^{letters}]{_REST}"]
    options += [f"{literal(each)}(?:{_unlike(child)})" for each, child in node.children.items()]
    return "|".join(options if node.is_name else ["", *options])
