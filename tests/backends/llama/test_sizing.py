"""How large a context is made where the settings leave it open."""

from backends.llama.sizing import Room, Sizes, Wishes, choose, separated
from core.setting_types import KvLayout

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


def separate(wishes: Wishes, room: Room) -> Sizes:
    return separated(choose(wishes, room), wishes, room)


def test_each_sequence_has_a_window_of_its_own_where_a_quarter_of_the_memory_suffices() -> None:
    assert separate(OPEN, AMPLE) == Sizes(4096, 32 * 4096, 32, slot_cells=4096)
    assert separate(OPEN, Room(4096, 1000, 20 * 4_096_000)).slot_cells is None
    assert separate(OPEN, Room(4096, 1000, 60 * 4_096_000)).num_running == 15


def test_cells_that_were_set_are_shared_where_they_are_too_few_for_all() -> None:
    assert separate(Wishes(512, 4096, 8), AMPLE) == Sizes(512, 4096, 8, slot_cells=512)
    assert separate(Wishes(512, 4096, 9), AMPLE) == Sizes(512, 4096, 9)
    assert separate(Wishes(512, 1024, None), AMPLE).slot_cells is None


def test_a_layout_that_was_set_is_kept() -> None:
    assert separate(Wishes(512, None, 4, KvLayout.SHARED), AMPLE).slot_cells is None
    few = Wishes(512, 512, 4, KvLayout.SEPARATE)
    assert separate(few, AMPLE) == Sizes(512, 2048, 4, slot_cells=512)


def test_on_a_gpu_nobody_knows_the_memory_and_cells_are_shared() -> None:
    room = Room(4096, 1000, 10**10, has_own_memory=True)
    assert separate(OPEN, room).slot_cells is None
