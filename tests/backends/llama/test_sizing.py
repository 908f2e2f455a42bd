"""How large a context is made where the settings leave it open."""

from backends.llama.sizing import Room, Sizes, Wishes, choose

OPEN = Wishes(None, None, None)
AMPLE = Room(trained_window=32768, cell_bytes=1000, free_bytes=1_000_000_000)


def test_with_ample_memory_there_are_four_windows_of_the_default() -> None:
    assert choose(OPEN, AMPLE) == Sizes(window=4096, num_cells=16384, num_running=32)


def test_a_model_trained_on_less_has_less() -> None:
    assert choose(OPEN, Room(1000, 1000, 10**9)) == Sizes(1000, 4096, 32)


def test_little_memory_makes_fewer_cells_then_a_smaller_window() -> None:
    assert choose(OPEN, Room(32768, 1000, 12_000_000)) == Sizes(4096, 6144, 32)
    assert choose(OPEN, Room(32768, 1000, 2_100_000)) == Sizes(1024, 1280, 10)
    assert choose(OPEN, Room(32768, 1000, 1)) == Sizes(256, 256, 2)


def test_what_is_set_is_kept_even_beyond_the_memory() -> None:
    wishes = Wishes(window=8192, num_cells=10_000, num_running=3)
    assert choose(wishes, Room(32768, 1000, 1)) == Sizes(8192, 10_240, 3)


def test_a_cache_holds_one_window_at_least() -> None:
    assert choose(Wishes(4096, 512, None), AMPLE) == Sizes(4096, 4096, 32)


def test_where_nobody_can_tell_memory_limits_nothing() -> None:
    room = Room(trained_window=4096, cell_bytes=10**9, free_bytes=1, has_own_memory=True)
    assert choose(OPEN, room) == Sizes(4096, 16384, 32)


def test_an_eighth_of_the_free_memory_keeps_idle_prefixes_unless_told() -> None:
    assert AMPLE.parkable(None) == 125_000
    assert AMPLE.parkable(10) == 10 * 2**20 // 1000
    assert AMPLE.parkable(0) == 0
