"""Owns how keys are written in a list, between commas. What is said of a mistake holds no key."""

import os
from collections.abc import Iterator

from api.access.key_hash import MARK, KeyHash, checked_key
from api.access.key_ring import NAME, ApiKey, GivenKey
from core.access import Account


def read_list(text: str) -> list[GivenKey]:
    """KEY, NAME=KEY or NAME=sha256:SALT:DIGEST each; all may do everything. Raises ValueError that
    names an item by its number.
    """
    items = [item.strip() for item in text.split(",")]
    given = list(_keys(items))
    if not given:
        raise ValueError("there is no key in it")
    return given


def _keys(items: list[str]) -> Iterator[GivenKey]:
    for number, item in enumerate(items, 1):
        if not item:
            continue
        try:
            yield _key(item, number)
        except ValueError as error:
            raise ValueError(f"key {number} of the list: {error}") from None


def _key(item: str, number: int) -> GivenKey:
    name, separator, secret = item.partition("=")
    if not separator:
        name, secret = f"key-{number}", item
    # Is it the padding of a key without a name, or a name whose key is missing?
    elif not secret.strip("="):
        raise ValueError("nothing follows its '='; a key with '=' at its end needs NAME= before it")
    if not NAME.fullmatch(name):
        raise ValueError("what is before its '=' is no name; allowed: letters, digits, '_.-'")
    # A path is easily guessed.
    if secret.endswith(".toml") or os.path.isfile(secret):
        raise ValueError("a file of keys stands alone, and its name ends with .toml")
    account = Account(name)
    if secret.startswith(MARK):
        return GivenKey(ApiKey(account, KeyHash.parse(secret)))
    return GivenKey(ApiKey(account, KeyHash.of(checked_key(secret))), secret)
