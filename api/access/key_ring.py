"""Owns the keys that are known, and whose a presented one is. Knows no file and no HTTP."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from api.access.key_hash import LONGEST, SHORTEST, KeyHash
from core.access import Account

MOST_KEYS = 512
# Names stand in logs, metrics and error lines.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key by its hash, and whom requests with it count for."""

    account: Account
    hash: KeyHash


@dataclass(frozen=True, slots=True)
class GivenKey:
    """A key as the operator gave it. `plain` is None where only the hash was given."""

    key: ApiKey
    plain: str | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        return self.key.account.name


@dataclass(frozen=True, slots=True)
class KeyRing:
    """All keys of the server. Each name and each key is there once."""

    keys: tuple[ApiKey, ...]

    @property
    def names(self) -> frozenset[str]:
        return frozenset(key.account.name for key in self.keys)

    def find(self, presented: str) -> Account | None:
        """Whose key it is. The work is the same for every wrong key: all keys are compared."""
        sent = presented.encode("utf-8", "surrogatepass")
        # What is longer would take a client's own time for each key. What is shorter may have been
        # hashed by mistake: an empty variable's hash is that of no key at all.
        can_be_key = SHORTEST <= len(sent) <= LONGEST
        found: Account | None = None
        for key in self.keys:
            if key.hash.matches(sent if can_be_key else b""):
                found = key.account
        return found if can_be_key else None


def ring_of(given: Sequence[GivenKey]) -> KeyRing:
    """Raises ValueError, with names alone, where a name or a key is there twice."""
    if len(given) > MOST_KEYS:
        raise ValueError(f"there are {len(given)} keys; allowed: {MOST_KEYS}")
    names: set[str] = set()
    for each in given:
        if each.name in names:
            raise ValueError(f"two keys have the name {each.name}")
        names.add(each.name)
    _check_each_key_once(given)
    return KeyRing(tuple(each.key for each in given))


def _check_each_key_once(given: Sequence[GivenKey]) -> None:
    seen: dict[KeyHash, str] = {}
    for each in given:
        if each.key.hash in seen:
            _refuse_same(seen[each.key.hash], each.name)
        seen[each.key.hash] = each.name
    only_hashed = [each for each in given if each.plain is None]
    for each in given:
        for other in only_hashed if each.plain else ():
            if other.key.hash.matches((each.plain or "").encode()):
                _refuse_same(other.name, each.name)


def _refuse_same(first: str, second: str) -> None:
    raise ValueError(f"{first} and {second} have the same key")
