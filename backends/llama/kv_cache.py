"""Owns the KV cells and slots: who holds how many, and which prefixes are computed.

free + used + cached = total always holds: used are the cells of one live sequence alone, cached
those in the prefix tree. What the native cache must do for it is queued, in order. A slot is
llama.cpp's sequence id; a prefix that nobody uses keeps the slot of the sequence that computed it.
"""

from backends.llama.plan import Drop, MemoryOperation, Share
from backends.llama.prefix_tree import Match, Node, PrefixTree, common_length
from backends.llama.sequence import Sequence


class KvCache:
    """`reuse` False, for memories that can't share or drop: a sequence's cells die with it."""

    def __init__(self, *, num_cells: int, num_slots: int, reuse: bool) -> None:
        if num_cells < 1 or num_slots < 1:
            raise ValueError(f"{num_cells} cells and {num_slots} slots: both must be at least 1")
        self.num_cells = num_cells
        self.num_free = num_cells
        self._num_used = 0
        self._num_slots = num_slots
        self._reuse = reuse
        self._tree = PrefixTree()
        self._free_slots = list(range(num_slots - 1, -1, -1))
        self._live_slots: set[int] = set()
        self._operations: list[MemoryOperation] = []

    @property
    def num_cached(self) -> int:
        return self._tree.num_tokens

    @property
    def num_available(self) -> int:
        """Free cells, and those that can be freed without touching a live sequence."""
        return self.num_free + self._tree.num_tokens - self._tree.num_locked

    @property
    def has_operations(self) -> bool:
        return bool(self._operations)

    def take_operations(self) -> tuple[MemoryOperation, ...]:
        operations, self._operations = tuple(self._operations), []
        return operations

    def match(self, sequence: Sequence) -> Match:
        """What of its ids is computed; never all, for the last one must yield logits."""
        arrival = sequence.arrival
        return self._tree.match(arrival.salt, sequence.token_ids, len(sequence.token_ids) - 1)

    def attach(self, sequence: Sequence, match: Match) -> None:
        """Gives a waiting sequence a slot, and the cells that were found."""
        node = self._tree.node_at(match)
        if node is not None:
            self._tree.lock(node)
            self._tree.touch(node)
        slot = self._acquire_slot()
        sequence.slot, sequence.node, sequence.num_computed = slot, node, match.length
        if node is not None:
            self._operations.append(Share(self._tree.holder(node), slot, 0, match.length))

    def detach(self, sequence: Sequence) -> None:
        """Takes its slot away; what it has computed stays for others as long as there is room."""
        slot = sequence.slot
        assert slot is not None
        if self._reuse:
            self.publish(sequence, sequence.num_computed)
        node, sequence.node, sequence.slot = sequence.node, None, None
        self._live_slots.remove(slot)
        if not self._reuse:
            self._num_used -= sequence.num_computed
            self.num_free += sequence.num_computed
        sequence.num_computed = 0
        if node is not None:
            self._tree.touch(node)
            self._tree.unlock(node)
        if node is None or node.slot != slot:
            self._free_slot(slot)

    def take(self, sequence: Sequence, num_cells: int) -> None:
        """Counts cells that the sequence is about to fill. They must be free."""
        assert 0 <= num_cells <= self.num_free, (sequence.key, num_cells, self.num_free)
        self._num_used += num_cells
        self.num_free -= num_cells
        sequence.num_computed += num_cells

    def untake(self, sequence: Sequence, num_cells: int) -> None:
        """Takes back `take` for its last cells, before anything was computed into them."""
        assert 0 <= num_cells <= sequence.num_own, (sequence.key, num_cells, sequence.num_own)
        self._num_used -= num_cells
        self.num_free += num_cells
        sequence.num_computed -= num_cells

    def forget(self, sequence: Sequence, num_cells: int) -> None:
        """Drops its last cells, computed in vain. They must be its own."""
        assert sequence.slot is not None
        assert self._reuse
        self.untake(sequence, num_cells)
        self._operations.append(Drop(sequence.slot, sequence.num_computed))

    def publish(self, sequence: Sequence, end: int) -> None:
        """Moves its own cells up to `end`, which are computed, into the tree."""
        if not self._reuse or end <= sequence.num_in_tree:
            return
        before = sequence.node
        node = before or self._tree.root(sequence.arrival.salt)
        while node.end < end:
            child = node.children.get(sequence.token_ids[node.end])
            if child is None:
                node = self._append(sequence, node, end)
            else:
                node = self._join(sequence, child, end)
        self._tree.lock(node)
        if before is not None:
            self._tree.unlock(before)
        sequence.node = node

    def free_up(self, num_cells: int) -> bool:
        """Shortens the prefixes that were used least recently until so many cells are free."""
        while self.num_free < num_cells:
            leaf = self._tree.oldest_leaf()
            if leaf is None:
                return False
            self._shorten(leaf, min(num_cells - self.num_free, len(leaf.token_ids)))
        return True

    def check(self) -> None:
        """Asserts the counts, which costs next to nothing."""
        assert self.num_free + self._num_used + self.num_cached == self.num_cells
        assert 0 <= self._tree.num_locked <= self.num_cached
        assert self._num_used >= 0

    def check_idle(self) -> None:
        """Asserts that with no live sequence every cell is free or in the tree, none locked."""
        self.check()
        assert not self._num_used
        assert not self._tree.num_locked
        assert not self._live_slots
        assert len(self._free_slots) + self._tree.num_leaves == self._num_slots

    def check_tree(self) -> None:
        """Asserts the tree node by node."""
        self._tree.check()

    def _append(self, sequence: Sequence, node: Node, end: int) -> Node:
        """The sequence's ids from the node's end on become the tree's."""
        slot = sequence.slot
        assert slot is not None
        token_ids = sequence.token_ids[node.end : end]
        self._num_used -= len(token_ids)
        is_shared = node.num_locks > 1  # by sequences whose prefix must go on ending there
        if node.is_leaf and node.slot == slot and not is_shared:
            self._tree.extend(node, token_ids)
            return node
        held_before = node.slot
        leaf = self._tree.grow(node, token_ids, slot)
        if held_before is not None and held_before not in self._live_slots:
            self._free_slot(held_before)
        return leaf

    def _join(self, sequence: Sequence, child: Node, end: int) -> Node:
        """Somebody else computed the same ids: the sequence drops its cells and shares theirs."""
        slot, ids = sequence.slot, sequence.token_ids
        assert slot is not None
        start = child.start
        length = min(common_length(child.token_ids, ids, start), end - start)
        node = self._tree.split(child, length)
        self._num_used -= length
        self.num_free += length
        self._operations.append(Drop(slot, start, start + length))
        self._operations.append(Share(self._tree.holder(node), slot, start, start + length))
        return node

    def _acquire_slot(self) -> int:
        while not self._free_slots:
            leaf = self._tree.oldest_leaf()
            assert leaf is not None, "there are more slots than live sequences can hold"
            self._shorten(leaf, len(leaf.token_ids))
        slot = self._free_slots.pop()
        self._live_slots.add(slot)
        return slot

    def _free_slot(self, slot: int) -> None:
        self._operations.append(Drop(slot, 0))
        self._free_slots.append(slot)

    def _shorten(self, leaf: Node, num_cells: int) -> None:
        slot = leaf.slot
        assert slot is not None
        self._operations.append(Drop(slot, leaf.end - num_cells))
        emptied = self._tree.shorten(leaf, num_cells)
        self.num_free += num_cells
        if emptied is not None:
            self._free_slot(emptied)
