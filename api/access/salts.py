"""Owns what keeps the prompts of different keys apart in an engine's prefix cache: how soon an
answer begins would else tell one key what another has asked.
"""

import hmac
import secrets
from dataclasses import dataclass, field

from core.access import Account


@dataclass(frozen=True, slots=True)
class TenantSalts:
    """Salts of one process: its secret is never told, and never kept."""

    secret: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)

    def of(self, account: Account, given: str | None) -> str | None:
        """64 characters, of the account and of the salt that its request gives; None where no keys
        are set and none is given.
        """
        if not account.name and given is None:
            return None
        # A name has no zero byte, so no two pairs are the same text.
        own = b"" if given is None else b"\0" + given.encode("utf-8", "surrogatepass")
        return hmac.digest(self.secret, account.name.encode() + own, "sha256").hex()
