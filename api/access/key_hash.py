"""Owns what a key may look like, and the salted hash by which it is known again.

Keys are random and long, so nobody can try them all: a slow hash would only cost time at each
request. No message here holds any of a key.
"""

import hmac
import re
import secrets
from dataclasses import dataclass, field
from hashlib import sha256

SHORTEST, LONGEST = 16, 512
MARK = "sha256:"
_SALT_BYTES = 16
_WRITTEN = re.compile(rf"{MARK}((?:[0-9a-fA-F]{{2}}){{8,64}}):([0-9a-fA-F]{{64}})")


@dataclass(frozen=True, slots=True)
class KeyHash:
    """SHA-256 of the salt with the key behind it."""

    salt: bytes = field(repr=False)
    digest: bytes = field(repr=False)

    @classmethod
    def of(cls, key: str, salt: bytes = b"") -> "KeyHash":
        return cls(salt, _digest(salt, key.encode()))

    @classmethod
    def parse(cls, text: str) -> "KeyHash":
        """Raises ValueError unless it is sha256:SALT:DIGEST, both in hexadecimal."""
        found = _WRITTEN.fullmatch(text)
        if not found:
            raise ValueError(
                f"allowed: {MARK}SALT:DIGEST in hexadecimal, the salt 8 bytes or more"
                " (./run.sh hash-key makes one)"
            )
        return cls(bytes.fromhex(found[1]), bytes.fromhex(found[2]))

    def matches(self, presented: bytes) -> bool:
        """Takes as long for a wrong key as for the right one."""
        return hmac.compare_digest(_digest(self.salt, presented), self.digest)

    def written(self) -> str:
        """As `parse` reads it."""
        return f"{MARK}{self.salt.hex()}:{self.digest.hex()}"


def salted(key: str) -> KeyHash:
    """With a new random salt."""
    return KeyHash.of(key, secrets.token_bytes(_SALT_BYTES))


def checked_key(text: str) -> str:
    """Raises ValueError where it could be guessed, or can't stand in a header."""
    if len(text) < SHORTEST:
        raise ValueError(f"a key has {SHORTEST} characters at least (./run.sh new-key makes one)")
    if len(text) > LONGEST:
        raise ValueError(f"a key has {LONGEST} characters at most")
    if not (text.isascii() and text.isprintable()) or " " in text:
        raise ValueError("a key has printable ASCII characters alone, and no spaces")
    return text


def _digest(salt: bytes, key: bytes) -> bytes:
    return sha256(salt + key).digest()
