"""Where responses are kept: bounded in number and size, the least recently used going first."""

import sqlite3
import stat
import tempfile
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest
import pytest_asyncio
from hypothesis import given, settings
from hypothesis import strategies as st

from api.responses.sqlite_store import SqliteStore
from api.responses.store import MemoryStore, ResponseStore, StoreLimits
from core.errors import ConfigurationError, ResponseStoreFailed

LIMITS = StoreLimits(3, 100)


@pytest_asyncio.fixture(params=["memory", "sqlite"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[ResponseStore]:
    is_file = request.param == "sqlite"
    opened = SqliteStore(tmp_path / "store.db", LIMITS) if is_file else MemoryStore(LIMITS)
    yield opened
    await opened.close()


async def ids(store: ResponseStore, *wanted: str) -> str:
    return "".join([each for each in wanted if await store.get(each) is not None])


async def test_what_was_put_is_found_until_it_is_deleted(store: ResponseStore) -> None:
    assert await store.get("a") is None
    store.put("a", b"1")
    store.put("a", b"2")
    assert await store.get("a") == b"2"
    assert await store.delete("a")
    assert not await store.delete("a")
    assert await store.get("a") is None


async def test_the_least_recently_used_gives_way_to_one_too_many(store: ResponseStore) -> None:
    for name in "abc":
        store.put(name, b"x")
    assert await store.get("a") == b"x"
    store.put("d", b"x")
    assert await ids(store, *"abcd") == "acd"


async def test_the_least_recently_used_give_way_to_a_large_one(store: ResponseStore) -> None:
    for name in "ab":
        store.put(name, b"x" * 40)
    store.put("c", b"x" * 90)
    assert await ids(store, *"abc") == "c"


async def test_one_that_is_too_large_is_not_kept_and_displaces_nothing(
    store: ResponseStore,
) -> None:
    store.put("a", b"x")
    store.put("b", b"x" * 101)
    assert await ids(store, *"ab") == "a"


async def test_replacing_one_frees_its_place(store: ResponseStore) -> None:
    for _ in range(5):
        store.put("a", b"x" * 60)
    store.put("b", b"x" * 40)
    assert await ids(store, *"ab") == "ab"


OPERATIONS = st.lists(
    st.tuples(st.sampled_from("pgd"), st.sampled_from("abcde"), st.integers(0, 60)), max_size=30
)


@given(OPERATIONS)
@settings(max_examples=20, deadline=None)
async def test_both_stores_keep_the_same(operations: list[tuple[str, str, int]]) -> None:
    folder = tempfile.TemporaryDirectory()
    memory, file = MemoryStore(LIMITS), SqliteStore(Path(folder.name) / "store.db", LIMITS)
    try:
        for kind, name, size in operations:
            if kind == "p":
                memory.put(name, bytes(size))
                file.put(name, bytes(size))
            elif kind == "g":
                assert await memory.get(name) == await file.get(name)
            else:
                assert await memory.delete(name) == await file.delete(name)
        for name in "abcde":
            assert await memory.get(name) == await file.get(name)
    finally:
        await file.close()
        folder.cleanup()


async def test_a_file_outlives_its_store_and_keeps_the_order_of_use(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "store.db"
    first = SqliteStore(path, LIMITS)
    for name in "abc":
        first.put(name, name.encode())
    await first.get("a")
    await first.close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    second = SqliteStore(path, StoreLimits(2, 100))
    assert await ids(second, *"abc") == "ac"
    await second.close()


def test_a_file_of_another_kind_is_refused_and_left_alone(tmp_path: Path) -> None:
    text, other = tmp_path / "notes.txt", tmp_path / "other.db"
    text.write_text("These are no responses. " * 100)
    with sqlite3.connect(other) as database:
        database.execute("CREATE TABLE things (id)")
    database.close()
    for path in (text, other, tmp_path):
        before = path.read_bytes() if path.is_file() else b""
        with pytest.raises(ConfigurationError, match="JARVIS_RESPONSE_STORE"):
            SqliteStore(path, LIMITS)
        assert (path.read_bytes() if path.is_file() else b"") == before


async def test_a_file_that_fails_is_told_and_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "store.db"
    store = SqliteStore(path, LIMITS)
    with sqlite3.connect(path) as database:
        database.execute("DROP TABLE responses")
    database.close()
    store.put("a", b"x")
    with pytest.raises(ResponseStoreFailed):
        await store.get("a")
    assert "was not kept" in caplog.text
    await store.close()
    store.put("b", b"x")
    assert "the store is closed" in caplog.text


async def test_what_waits_for_a_disk_that_hangs_is_bounded(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "store.db"
    limits = StoreLimits(10, 1 << 20)
    store = SqliteStore(path, limits, most_waiting_bytes=30_000)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        for name in "abcd":
            store.put(name, bytes(10_000))
        assert caplog.messages == [
            "response=c was not kept: 24096 bytes wait for the disk",
            "response=d was not kept: 24096 bytes wait for the disk",
        ]
        other.execute("COMMIT")
    assert await ids(store, *"abcd") == "ab"
    store.put("e", bytes(10_000))
    store.put("f", bytes(10_000))
    assert await ids(store, *"abcdef") == "abef"
    await store.close()


async def test_one_that_does_not_answer_keeps_nobody_waiting(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    store = SqliteStore(path, LIMITS, hangs_after_s=0)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        store.put("a", b"x")
        for ask in (store.get, store.delete):
            with pytest.raises(ResponseStoreFailed, match="does not answer"):
                await ask("a")
        other.execute("COMMIT")
    await store.close()
    again = SqliteStore(path, LIMITS)
    assert await again.get("a") == b"x"
    await again.close()


async def test_two_servers_on_one_file_keep_no_more_than_one_would(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    one, other = SqliteStore(path, LIMITS), SqliteStore(path, LIMITS)
    for name in "abc":
        one.put(name, b"x")
        assert await one.get(name) == b"x"
        other.put(name.upper(), b"x")
        assert await other.get(name.upper()) == b"x"
    with closing(sqlite3.connect(path)) as database:
        found = database.execute("SELECT id FROM responses ORDER BY last_use").fetchall()
    assert found == [("B",), ("c",), ("C",)]
    await one.close()
    await other.close()


async def test_what_can_not_be_written_is_read_all_the_same(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    store = SqliteStore(path, LIMITS)
    store.put("a", b"x")
    assert await store.get("a") == b"x"
    full = "CREATE TRIGGER full BEFORE UPDATE ON responses BEGIN SELECT RAISE(FAIL, 'full'); END"
    with closing(sqlite3.connect(path)) as database:
        database.execute(full)
    assert await store.get("a") == b"x"
    await store.close()


async def test_an_id_is_text_whatever_it_holds(store: ResponseStore) -> None:
    for name in ("'; DROP TABLE responses; --", '"', "a\x00b", "%", "_", "\u202e\U0001f600"):
        store.put(name, b"x")
        assert await store.get(name) == b"x"
        assert await store.delete(name)
    store.put("ab", b"x")
    assert await store.get("a") is None
    assert await store.get("a%") is None
