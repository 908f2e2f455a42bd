"""`python -m api.access.hash_key` reads a key from standard input and prints its salted hash."""

import getpass
import sys

from api.access.key_hash import checked_key, salted


def main() -> int:
    text = getpass.getpass("key: ") if sys.stdin.isatty() else sys.stdin.readline()
    try:
        print(salted(checked_key(text.strip())).written())
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
