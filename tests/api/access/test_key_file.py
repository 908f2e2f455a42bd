"""The file of keys: what it may say, what is said of its mistakes, and what changes of it do."""

import asyncio
import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from pydantic import SecretStr

from api.access.access import Access
from api.access.key_file import read_file
from api.access.key_hash import salted
from api.access.key_source import read_keys
from core.access import Account, KeyLimits, Role
from core.errors import ConfigurationError
from tests.api.access.guarded import access_of, written
from tests.engines import settings_for

ONE, TWO, THREE = "one-" * 5, "two-" * 5, "three-" * 4


def account(folder: Path, text: str, key: str) -> Account:
    found = read_keys(SecretStr(str(written(folder, text)))).ring.find(key)
    assert found is not None
    return found


def of_alice(text: str) -> str:
    return f'[keys.alice]\nkey = "{ONE}"\n{text}\n'


def test_a_key_has_one_role_and_no_limits_unless_it_is_said(tmp_path: Path) -> None:
    found = account(tmp_path, of_alice(""), ONE)
    assert found == Account("alice", frozenset({Role.USE}), KeyLimits())


def test_all_that_can_be_said_of_a_key(tmp_path: Path) -> None:
    text = of_alice(
        """roles = ["metrics", "admin"]
        requests_per_minute = 1
        tokens_per_minute = 2
        tokens_per_day = 3
        concurrent_requests = 4
        max_tokens = 5
        models = ["tiny", "other"]"""
    )
    found = account(tmp_path, text, ONE)
    assert found.roles == {Role.METRICS, Role.ADMIN}
    assert found.limits == KeyLimits(1, 2, 3, 4, 5, frozenset({"tiny", "other"}))


def test_defaults_hold_for_what_a_key_says_nothing_of(tmp_path: Path) -> None:
    text = of_alice('max_tokens = 9\ntokens_per_day = "unlimited"\nmodels = ["*"]') + (
        '[defaults]\nmax_tokens = 5\ntokens_per_day = 7\nmodels = ["a"]\nconcurrent_requests = 2'
    )
    limits = account(tmp_path, text, ONE).limits
    assert limits == KeyLimits(concurrent_requests=2, max_tokens=9)


def test_a_key_can_be_a_hash_or_in_a_file_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(f"{TWO}\n")
    text = f'[keys.a]\nhash = "{salted(ONE).written()}"\n[keys."b.c"]\nkey_file = "secret"'
    assert account(tmp_path, text, ONE).name == "a"
    assert account(tmp_path, text, TWO).name == "b.c"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "there is no key in it"),
        ("[keys]", "there is no key in it"),
        ("[defaults]\nmax_tokens = 1", "there is no key in it"),
        (of_alice("roles = []"), "keys.alice.roles: "),
        (of_alice('roles = ["admn"]'), "keys.alice.roles.0: no such role: did you mean admin?"),
        (of_alice('roles = "use"'), "keys.alice.roles: allowed: a valid list"),
        (
            of_alice("max_token = 1"),
            "keys.alice.max_token: no such field: did you mean max_tokens?",
        ),
        (of_alice("max_tokens = 0"), "keys.alice.max_tokens: allowed: a whole number from 1"),
        (of_alice("max_tokens = true"), "keys.alice.max_tokens: allowed: a whole number"),
        (of_alice("tokens_per_day = 1.5"), "keys.alice.tokens_per_day: allowed: a whole number"),
        (of_alice('tokens_per_day = "1"'), "keys.alice.tokens_per_day: allowed: a whole number"),
        (of_alice("models = []"), "keys.alice.models: it is empty"),
        (of_alice('models = ["*", "a"]'), "keys.alice.models: "),
        (of_alice("models = [1]"), "keys.alice.models: allowed: a list of names"),
        (of_alice('hash = "x"'), "keys.alice.hash: allowed: sha256:SALT:DIGEST"),
        (of_alice('key_file = "x"'), "keys.alice: give exactly one of key, hash, key_file"),
        ('[keys.bob]\nroles = ["use"]', "keys.bob: give exactly one"),
        ('[keys.bob]\nkey = "short"', "keys.bob.key: a key has 16 characters at least"),
        ("[keys.bob]\nkey = 1234567890123456", "keys.bob.key: allowed: a valid string"),
        ('[keys.bob]\nkey_file = "missing"', "keys.bob.key_file: it can't be read"),
        ('[keys.bob]\nkey_file = "keys.toml"', "keys.bob.key_file: "),
        (f'[keys]\nbob = "{ONE}"', "keys.bob: allowed: a table"),
        (f'[keys."{ONE}!"]\nkey = "{TWO}"', "keys.(table 1): its name is none"),
        (f'[keys.bob]\n"{ONE}" = 1\nkey = "{TWO}"', "keys.bob.(a field): no such field"),
        (f'["{ONE}"]\n{of_alice("")}', "(a field): no such field; allowed: keys, defaults"),
        (f'key = "{ONE}"', "key: no such field: did you mean keys?"),
        ("[defaults]\nroles = []\n" + of_alice(""), "defaults.roles: no such field"),
        ("[default]\n" + of_alice(""), "default: no such field: did you mean defaults?"),
        (of_alice("") + f'[keys.bob]\nkey = "{ONE}"', "alice and bob have the same key"),
        (of_alice("") + of_alice(""), "it is not valid TOML (at line"),
        (of_alice(f'{ONE}="{ONE}'), "it is not valid TOML (at line 3"),
        ("[keys.a]\nkey = '''" + ONE, "it is not valid TOML (at end of document)"),
        ("x = " + "[" * 100_000, "it nests too deep"),
        ("#" * 2**20 + "x", "larger than 1 MiB"),
    ],
)
def test_mistakes_are_told_by_file_key_and_field(tmp_path: Path, text: str, told: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(ConfigurationError) as caught:
        read_keys(SecretStr(str(path)))
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert told in message
    assert "\n" not in message
    assert not any(key in message for key in (ONE, TWO))


def test_many_mistakes_are_told_up_to_a_number(tmp_path: Path) -> None:
    text = "\n".join(f'[keys.k{number}]\nkey = "x"' for number in range(20))
    with pytest.raises(ValueError, match=r"k11\.key: .*; and 8 more$"):
        read_file(written(tmp_path, text))


def test_files_that_cannot_be_read_are_told(tmp_path: Path) -> None:
    binary = tmp_path / "b.toml"
    binary.write_bytes(b"\xff")
    for name, told in (("no.toml", "No such file"), ("b.toml", "byte 0 is not UTF-8")):
        with pytest.raises(ConfigurationError, match=told):
            read_keys(SecretStr(str(tmp_path / name)))
    (tmp_path / "d.toml").mkdir()
    with pytest.raises(ConfigurationError, match="directory"):
        read_keys(SecretStr(str(tmp_path / "d.toml")))


def test_keys_that_others_can_read_are_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = written(tmp_path, of_alice(""))
    read_file(path)
    assert not caplog.records
    path.chmod(0o640)
    read_file(path)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    caplog.clear()
    path.write_text(f'[keys.a]\nhash = "{salted(ONE).written()}"')
    read_file(path)
    assert not caplog.records


@asynccontextmanager
async def started(path: Path | str) -> AsyncIterator[Access]:
    access = access_of(path)
    access.start()
    try:
        yield access
    finally:
        await access.close()


async def until_known(access: Access, key: str) -> str:
    """The name of the key, as soon as it is known; the test's time-out is the limit."""
    while True:
        assert access.ring is not None
        if found := access.ring.find(key):
            return found.name
        await asyncio.sleep(0.02)


def rename_over(path: Path, text: str) -> None:
    other = path.with_name("new")
    other.write_text(text)
    other.replace(path)


def write_in_place(path: Path, text: str) -> None:
    path.write_text(text)


def move_away_and_write(path: Path, text: str) -> None:
    path.rename(path.with_name("keys.toml~"))
    path.write_text(text)


@pytest.mark.timeout(20)
async def test_a_changed_file_is_read_again_however_it_changed(tmp_path: Path) -> None:
    path = written(tmp_path, of_alice(""))
    async with started(path) as access:
        for number, change in enumerate((rename_over, write_in_place, move_away_and_write)):
            change(path, f'[keys.bob]\nkey = "{TWO}{number}"')
            assert await until_known(access, f"{TWO}{number}") == "bob"
            assert access.ring is not None
            assert access.ring.find(ONE) is None


@pytest.mark.timeout(20)
async def test_a_link_that_is_exchanged_is_noticed(tmp_path: Path) -> None:
    """As Kubernetes mounts secrets: keys.toml -> ..data/keys.toml, ..data -> a folder."""
    for name, key in (("..1", ONE), ("..2", TWO)):
        (tmp_path / name).mkdir()
        written(tmp_path / name, f'[keys.a]\nkey = "{key}"')
    (tmp_path / "..data").symlink_to("..1")
    (tmp_path / "keys.toml").symlink_to("..data/keys.toml")
    async with started(tmp_path / "keys.toml") as access:
        assert await until_known(access, ONE) == "a"
        (tmp_path / "..new").symlink_to("..2")
        os.replace(tmp_path / "..new", tmp_path / "..data")
        assert await until_known(access, TWO) == "a"


@pytest.mark.timeout(20)
async def test_a_key_in_a_file_of_its_own_is_followed(tmp_path: Path) -> None:
    (tmp_path / "secrets").mkdir()
    secret = tmp_path / "secrets" / "a"
    secret.write_text(ONE)
    async with started(written(tmp_path, '[keys.a]\nkey_file = "secrets/a"')) as access:
        secret.write_text(TWO)
        assert await until_known(access, TWO) == "a"


@pytest.mark.timeout(20)
async def test_a_bad_new_file_keeps_the_old_keys_and_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = written(tmp_path, of_alice(""))
    async with started(path) as access:
        rename_over(path, f'[keys.bob]\nkey = "{TWO}"\nrole = 1')
        while not [each for each in caplog.records if each.levelno == logging.ERROR]:
            await asyncio.sleep(0.02)
        assert await until_known(access, ONE) == "alice"
        rename_over(path, f'[keys.bob]\nkey = "{TWO}"')
        assert await until_known(access, TWO) == "bob"
    errors = [each.getMessage() for each in caplog.records if each.levelno == logging.ERROR]
    assert len(errors) == 1
    assert "keys.bob.role: no such field: did you mean roles?" in errors[0]
    assert not any(key in caplog.text for key in (ONE, TWO))


@pytest.mark.timeout(20)
async def test_settings_that_name_another_file_move_the_watch(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = written(tmp_path / "other", f'[keys.b]\nkey = "{TWO}"')
    async with started(ONE) as access:
        for file, key in ((written(tmp_path, of_alice("")), THREE), (other, TWO + "x")):
            await asyncio.sleep(0)
            access.reload(settings_for("llama_cpp", JARVIS_API_KEYS=str(file)))
            rename_over(file, f'[keys.b]\nkey = "{key}"')
            assert await until_known(access, key) == "b"


def test_settings_read_again_replace_keys_and_never_open_the_server(
    caplog: pytest.LogCaptureFixture,
) -> None:
    access = access_of(ONE)
    access.reload(settings_for("llama_cpp", JARVIS_API_KEYS=TWO))
    assert access.ring is not None
    assert access.ring.find(TWO)
    assert access.ring.find(ONE) is None
    for bad in ("", "short", "missing.toml", " , "):
        access.reload(settings_for("llama_cpp", JARVIS_API_KEYS=bad))
        assert not access.is_open
        assert access.ring.find(TWO)
    errors = [each for each in caplog.records if each.levelno == logging.ERROR]
    assert len(errors) == 4
    assert TWO not in caplog.text


def test_a_server_without_keys_gets_some() -> None:
    access = Access.open(settings_for("llama_cpp"))
    assert access.is_open
    access.reload(settings_for("llama_cpp"))
    assert access.is_open
    access.reload(settings_for("llama_cpp", JARVIS_API_KEYS=ONE))
    assert not access.is_open
