"""Keys as lists and hashes, and how a presented one is found among them."""

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from api.access.credentials import presented_key
from api.access.key_hash import LONGEST, KeyHash, checked_key, salted
from api.access.key_list import read_list
from api.access.key_ring import MOST_KEYS, KeyRing, ring_of
from api.access.key_source import read_keys
from core.access import ALL_ROLES, NO_LIMITS
from core.errors import ConfigurationError

ROOT = Path(__file__).resolve().parents[3]
SIGNS = "".join(map(chr, range(33, 127)))
ONE, TWO = "one-" * 5, "two-" * 5


def ring(text: str) -> KeyRing:
    return ring_of(read_list(text))


def owner(keys: KeyRing, presented: str) -> str | None:
    found = keys.find(presented)
    return None if found is None else found.name


def test_a_list_names_keys_by_their_place_or_by_their_name() -> None:
    keys = ring(f" {ONE} , alice={TWO},, bob={salted('three-' * 4).written()} ")
    assert owner(keys, ONE) == "key-1"
    assert owner(keys, TWO) == "alice"
    assert owner(keys, "three-" * 4) == "bob"
    assert keys.names == {"key-1", "alice", "bob"}


def test_listed_keys_may_do_everything() -> None:
    account = ring(ONE).find(ONE)
    assert account is not None
    assert account.roles == ALL_ROLES
    assert account.limits == NO_LIMITS


def test_a_hash_without_a_name_is_a_key() -> None:
    assert owner(ring(salted(ONE).written()), ONE) == "key-1"


@pytest.mark.parametrize(
    "presented",
    [
        *("", " ", ONE[:-1], ONE + "x", ONE.upper(), ONE + "\n", ONE + "\x00", f"key-1={ONE}"),
        *("\x00", "\xff" * 40, "ключ" * 9, "x" * 9**6, "\ud800" * 20, KeyHash.of(ONE).written()),
    ],
)
def test_anything_else_is_unknown(presented: str) -> None:
    assert ring(f"{ONE},salted={salted(TWO).written()}").find(presented) is None


@pytest.mark.parametrize("plain", ["", "short", "x" * 15, "x" * 513])
def test_a_hash_of_what_can_be_no_key_lets_nobody_in(plain: str) -> None:
    keys = ring(f"a={salted(plain).written()}")
    assert keys.find(plain) is None
    assert keys.find("") is None


def test_the_longest_key_is_known_whole() -> None:
    longest = "k" * LONGEST
    keys = ring(longest)
    assert owner(keys, longest) == "key-1"
    assert keys.find(longest[:-1]) is None
    assert keys.find(longest + "k") is None


@settings(deadline=None, max_examples=50)
@given(
    st.text(SIGNS, max_size=80),
    st.lists(st.text("abcdef0123", min_size=16, max_size=24), min_size=1, unique=True),
)
def test_only_the_keys_themselves_are_found(presented: str, plain: list[str]) -> None:
    keys = ring(",".join(plain))
    assert (keys.find(presented) is not None) == (presented in plain)
    assert all(keys.find(key) for key in plain)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "there is no key"),
        (" , ,", "there is no key"),
        ("short", "key 1 of the list: a key has 16 characters at least"),
        (f"{ONE},name=short", "key 2 of the list: a key has 16"),
        ("x" * 513, "512 characters at most"),
        (f"a={ONE},a={TWO}", "two keys have the name a"),
        (f"key-2={ONE},{TWO}", "two keys have the name key-2"),
        (f"a={ONE},b={ONE}", "a and b have the same key"),
        (f"a={ONE},b={salted(ONE).written()}", "b and a have the same key"),
        (f"a={salted(ONE).written()},b={ONE}", "a and b have the same key"),
        ("production-server=", "nothing follows its '='"),
        (f"{ONE}==", "needs NAME= before it"),
        (f"a b={ONE}", "no name"),
        (f"../x={ONE}", "no name"),
        (f"{'n' * 65}={ONE}", "no name"),
        ("a=sha256:abcd", "allowed: sha256:SALT:DIGEST"),
        (f"a=sha256:{'0' * 14}:{'0' * 64}", "the salt 8 bytes or more"),
        (f"a=sha256:{'0' * 16}:{'0' * 62}", "allowed: sha256"),
        (f"{ONE},keys.toml", "stands alone"),
        (str(Path(__file__)), "its name ends with .toml"),
        ("key with spaces in it", "no spaces"),
        ("ключ-ключ-ключ-ключ", "ASCII"),
        (",".join(f"{number:020}" for number in range(MOST_KEYS + 1)), "allowed: 512"),
    ],
)
def test_mistakes_are_told_in_a_line_without_any_key(text: str, told: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read_keys(SecretStr(text))
    message = str(caught.value)
    assert told in message
    assert message.startswith("JARVIS_API_KEYS: ")
    assert "\n" not in message
    assert ONE not in message
    assert caught.value.__cause__ is None
    assert not any(len(part) >= 16 and part in message for part in text.split(","))


def test_values_show_no_key() -> None:
    given_keys = read_list(f"{ONE},b={salted(TWO).written()}")
    shown = repr(given_keys) + repr(ring_of(given_keys)) + repr(KeyHash.of(ONE))
    assert ONE not in shown
    assert KeyHash.of(ONE).digest.hex() not in shown
    assert repr(KeyHash.of(ONE).digest) not in shown


@settings(deadline=None, max_examples=50)
@given(st.text(SIGNS, min_size=16, max_size=64))
def test_a_written_hash_reads_back(key: str) -> None:
    made = salted(checked_key(key))
    assert KeyHash.parse(made.written()) == made
    assert made.matches(key.encode())
    assert not made.matches(key.encode() + b"x")
    assert salted(key) != made


def command(module: str, *arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", f"api.access.{module}", *arguments],
        input=given, capture_output=True, text=True, cwd=ROOT, timeout=20,
    )  # fmt: skip


@pytest.mark.timeout(20)
def test_the_commands_make_what_the_server_reads(tmp_path: Path) -> None:
    made = command("new_key", "alice")
    key = made.stdout.split("once: ")[1].split()[0]
    file = tmp_path / "keys.toml"
    file.write_text(made.stdout[made.stdout.index("[keys") :])
    assert owner(read_keys(SecretStr(str(file))).ring, key) == "alice"
    hashed = command("hash_key", given=f"{key}\n").stdout.strip()
    assert owner(ring(f"bob={hashed}"), key) == "bob"
    assert command("hash_key", given="short\n").returncode == 2
    assert command("new_key").returncode == 2
    assert command("new_key", "no name").returncode == 2


@pytest.mark.parametrize(
    ("headers", "key"),
    [
        ([], None),
        ([(b"authorization", b"Bearer abc")], "abc"),
        ([(b"Authorization", b"bEARER   abc ")], "abc"),
        ([(b"x-api-key", b" abc")], "abc"),
        ([(b"x-api-key", b"abc"), (b"authorization", b"Bearer abc")], "abc"),
        ([(b"x-api-key", b"abc"), (b"authorization", b"Bearer abd")], None),
        ([(b"x-api-key", b"abc"), (b"authorization", b"Basic abc")], None),
        ([(b"authorization", b"Bearer abc"), (b"authorization", b"Bearer abc")], None),
        ([(b"authorization", b"Bearer abc"), (b"Authorization", b"")], None),
        ([(b"x-api-key", b"abc"), (b"X-API-KEY", b"abc")], None),
        ([(b"authorization", b"abc")], None),
        ([(b"authorization", b"Bearer")], None),
        ([(b"authorization", b"Bearer ")], None),
        ([(b"x-api-key", b"\xff\xfe")], "\xff\xfe"),
    ],
)
def test_one_key_is_presented_or_none(headers: list[tuple[bytes, bytes]], key: str | None) -> None:
    assert presented_key(headers) == key
