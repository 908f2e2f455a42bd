"""Owns the count of KV cells and the free slots. Knows no ids and no order of sequences."""


class CellLedger:
    """Which slot holds how many cells. free + used = total always holds."""

    def __init__(self, *, num_cells: int, num_slots: int) -> None:
        if num_cells < 1 or num_slots < 1:
            raise ValueError(f"{num_cells} cells and {num_slots} slots: both must be at least 1")
        self.num_cells = num_cells
        self.num_free = num_cells
        self._free_slots = list(range(num_slots - 1, -1, -1))
        self._used: dict[int, int] = {}

    @property
    def has_free_slot(self) -> bool:
        return bool(self._free_slots)

    @property
    def is_idle(self) -> bool:
        return not self._used and self.num_free == self.num_cells

    def acquire_slot(self) -> int:
        slot = self._free_slots.pop()
        self._used[slot] = 0
        return slot

    def take(self, slot: int, num_cells: int) -> None:
        assert 0 <= num_cells <= self.num_free, (slot, num_cells, self.num_free)
        self._used[slot] += num_cells
        self.num_free -= num_cells

    def release_slot(self, slot: int) -> None:
        self.num_free += self._used.pop(slot)
        self._free_slots.append(slot)

    def check(self) -> None:
        """Asserts that nothing was lost or counted twice."""
        assert self.num_free + sum(self._used.values()) == self.num_cells
        assert not set(self._used) & set(self._free_slots)
