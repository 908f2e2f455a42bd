"""Owns how large a context is made where the settings leave it open. Touches no native code."""

from dataclasses import dataclass

from core.setting_types import KvLayout

DEFAULT_WINDOW = 4096
DEFAULT_RUNNING = 32
SMALLEST_WINDOW = 256
# As llama.cpp rounds the cache up.
_CELL_BLOCK = 256
_WINDOWS = 4
# Of the memory that is free once the weights are loaded, the cache takes this share by itself.
_SHARE = 0.5
# Cells of their own must leave room for more: what they take beyond need is taken for speed alone.
_SEPARATE_SHARE = 0.25
_FEWEST_SEPARATE = 8
_PARKED_SHARE = 0.125
# Fewer cells a sequence than this, and most of the sequences would only wait for each other.
_CELLS_EACH = 128


@dataclass(frozen=True, slots=True)
class Room:
    """What there is: the window a model was trained on, bytes a KV cell takes, and free bytes.

    `has_own_memory`: the cells lie on a GPU, of whose memory nothing is known here.
    """

    trained_window: int
    cell_bytes: int
    free_bytes: int
    has_own_memory: bool = False

    def num_affordable(self, share: float = _SHARE) -> int | None:
        """Cells that fit the share of free memory; None where nobody can tell."""
        if self.has_own_memory:
            return None
        return int(self.free_bytes * share) // max(self.cell_bytes, 1)

    def parkable(self, mebibytes: int | None) -> int:
        """Ids whose cells may be parked in so much ordinary memory; an eighth of it by default."""
        if mebibytes is not None:
            num_bytes = mebibytes * 2**20
        else:
            num_bytes = int(self.free_bytes * _PARKED_SHARE)
        return num_bytes // max(self.cell_bytes, 1)


@dataclass(frozen=True, slots=True)
class Wishes:
    """What was set; None leaves it open."""

    window: int | None
    num_cells: int | None
    num_running: int | None
    layout: KvLayout = KvLayout.AUTO


@dataclass(frozen=True, slots=True)
class Sizes:
    """The context window, the KV cells of all sequences together, and how many run at once.

    With `slot_cells`, each sequence has so many cells of its own.
    """

    window: int
    num_cells: int
    num_running: int
    slot_cells: int | None = None


def choose(wishes: Wishes, room: Room) -> Sizes:
    """What was set is kept (a window never beyond what was trained); the rest fits the memory."""
    affordable = room.num_affordable()
    window = min(wishes.window or DEFAULT_WINDOW, room.trained_window)
    if wishes.window is None and affordable is not None:
        smallest = min(SMALLEST_WINDOW, window)
        window = max(smallest, min(window, affordable // _CELL_BLOCK * _CELL_BLOCK))
    wanted = wishes.num_cells
    if wanted is None:
        wanted = _WINDOWS * window
        if affordable is not None:
            wanted = min(wanted, affordable)
    num_cells = _in_blocks(max(wanted, window))
    num_running = wishes.num_running or max(1, min(DEFAULT_RUNNING, num_cells // _CELLS_EACH))
    return Sizes(window, num_cells, num_running)


def separated(sizes: Sizes, wishes: Wishes, room: Room) -> Sizes:
    """The same window with cells of its own for each sequence, where the wishes and room allow."""
    slot_cells = _in_blocks(sizes.window)
    fitting = (wishes.num_cells or room.num_affordable(_SEPARATE_SHARE) or 0) // slot_cells
    num_running = min(wishes.num_running or DEFAULT_RUNNING, fitting)
    if wishes.layout is KvLayout.SEPARATE:
        num_running = wishes.num_running or max(1, num_running)
    elif wishes.layout is KvLayout.SHARED or num_running < (wishes.num_running or _FEWEST_SEPARATE):
        return sizes
    return Sizes(sizes.window, slot_cells * num_running, num_running, slot_cells)


def _in_blocks(num_cells: int) -> int:
    return -(-num_cells // _CELL_BLOCK) * _CELL_BLOCK
