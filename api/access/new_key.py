"""`python -m api.access.new_key NAME` makes a key, and the lines for a file of keys that know it by
its hash.
"""

import secrets
import sys
from collections.abc import Sequence

from api.access.key_hash import salted
from api.access.key_ring import NAME

_PREFIX = "jarvis-"
_RANDOM_BYTES = 32


def new_key() -> str:
    """256 random bits."""
    return _PREFIX + secrets.token_urlsafe(_RANDOM_BYTES)


def main(arguments: Sequence[str]) -> int:
    if len(arguments) != 1 or not NAME.fullmatch(arguments[0]):
        print("usage: new-key NAME (letters, digits, '_.-')", file=sys.stderr)
        return 2
    key = new_key()
    print(f"key, shown this once: {key}\n")
    print(f'[keys."{arguments[0]}"]\nhash = "{salted(key).written()}"\nroles = ["use"]')
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
