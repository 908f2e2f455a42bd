"""Owns the KV cells and slots: who holds how many, and which prefixes are computed.

free + used + cached = total always holds: used are the cells of one live sequence alone, cached
those in the prefix tree. What the native cache must do for it is queued, in order. A slot is
llama.cpp's sequence id; a prefix that nobody uses keeps the slot of the sequence that computed it.
Every cell up to the last used one costs time in every step, so that prefixes that lie idle are
parked in ordinary memory, and copied back when they are wanted: a thousandth of computing them.
"""

import itertools

from backends.llama.limits import Limits
from backends.llama.plan import Discard, Drop, MemoryOperation, Park, Restore, Share, Span
from backends.llama.prefix_tree import Match, Node, PrefixTree, common_length
from backends.llama.sequence import Sequence

# A prefix of fewer ids is dropped rather than parked.
WORTH_PARKING = 4


class KvCache:
    """Without `limits.reuse`, for memories that can't share or drop, cells die with a sequence."""

    def __init__(self, limits: Limits) -> None:
        num_slots = limits.num_slots
        self.num_cells = limits.num_cells
        self.num_free = limits.num_cells
        self._limits = limits
        self._num_used = 0
        self._num_slots = num_slots
        self._reuse = limits.reuse
        self._span_ids = itertools.count()
        self._tree = PrefixTree()
        self._free_slots = list(range(num_slots - 1, -1, -1))
        self._live_slots: set[int] = set()
        self._operations: list[MemoryOperation] = []

    @property
    def num_cached(self) -> int:
        return self._tree.num_tokens

    @property
    def num_held(self) -> int:
        """Cells of live sequences."""
        return self._num_used + self._tree.num_locked

    @property
    def num_available(self) -> int:
        """Free cells, and those that can be freed without touching a live sequence."""
        return self.num_free + self._tree.num_idle

    @property
    def num_parked(self) -> int:
        """Ids in ordinary memory."""
        return self._tree.num_parked

    @property
    def has_operations(self) -> bool:
        return bool(self._operations)

    def take_operations(self) -> tuple[MemoryOperation, ...]:
        operations, self._operations = tuple(self._operations), []
        return operations

    @property
    def capacity(self) -> int:
        """Cells that a sequence can have at most."""
        return self.num_cells

    def num_matched(self, sequence: Sequence) -> int:
        """How many of its ids are computed; never all, for the last one must yield logits."""
        return self._match(sequence).length

    def admit(self, sequence: Sequence, num_owed: int) -> bool:
        """Gives a waiting sequence a slot, and the cells that are found of its prompt.

        False where the rest would not fit beside `num_owed` cells, which others are going to take.
        """
        match = self._match(sequence)
        is_restored = match.length - match.resident.length >= WORTH_PARKING
        if not is_restored or not self._has_room(sequence, match, num_owed):
            match = match.resident
        if not self._has_room(sequence, match, num_owed):
            return False
        node = self._tree.node_at(match)
        if node is not None:
            self._tree.lock(node)
            self._tree.touch(node)
        self._park_idle()
        slot = self._acquire_slot()
        sequence.slot, sequence.node, sequence.num_computed = slot, node, match.length
        if node is not None:
            self._hold(slot, node)
        return True

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
                length = common_length(child.token_ids, sequence.token_ids, node.end)
                node = self._tree.split(child, min(length, end - node.end))
                self._join(sequence, node)
        self._tree.lock(node)
        if before is not None:
            self._tree.unlock(before)
        sequence.node = node

    def free_up(self, num_cells: int) -> bool:
        """Takes from the prefixes that were used least recently until so many cells are free."""
        while self.num_free < num_cells:
            leaf = self._tree.oldest_leaf()
            if leaf is None:
                return False
            self._give_up(leaf, num_cells - self.num_free)
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

    def check_prefixes(self) -> None:
        """Asserts the tree node by node."""
        self._tree.check()

    def _match(self, sequence: Sequence) -> Match:
        arrival = sequence.arrival
        return self._tree.match(arrival.salt, sequence.token_ids, len(sequence.token_ids) - 1)

    def _has_room(self, sequence: Sequence, match: Match, num_owed: int) -> bool:
        needed = len(sequence.token_ids) - match.length + match.num_cells
        return needed + num_owed <= self.num_available

    def _hold(self, slot: int, node: Node) -> None:
        """Lets a slot that holds nothing hold the path to `node`, restoring what is parked."""
        parked = [each for each in node.path() if each.is_parked][::-1]
        resident = parked[0].parent if parked else node
        spans = [each.span.num_tokens for each in parked if each.span]
        num_restored = sum(len(each.token_ids) for each in parked)
        is_free = self.free_up(num_restored + max(spans, default=0))
        assert is_free, "a match was attached that there is no room for"
        if resident is not None and resident.end:
            holder = self._tree.holder(resident)
            self._operations.append(Share(holder, slot, 0, resident.end))
        for each in parked:
            assert each.span is not None
            self._operations.append(Restore(slot, each.span, each.start, each.end))
            self.num_free -= len(each.token_ids)
            self._revive(each, slot)

    def _revive(self, node: Node, slot: int) -> None:
        span, held_before = self._tree.revive(node, slot)
        if span is not None:
            self._operations.append(Discard(span))
        self._free_idle_slot(held_before)

    def _append(self, sequence: Sequence, node: Node, end: int) -> Node:
        """The sequence's ids from the node's end on become the tree's."""
        slot = sequence.slot
        assert slot is not None
        token_ids = sequence.token_ids[node.end : end]
        self._num_used -= len(token_ids)
        # Other sequences' prefixes must go on ending where they do.
        can_extend = node.num_locks <= 1 and not node.children
        if node.slot == slot and can_extend:
            self._tree.extend(node, token_ids)
            return node
        self._free_idle_slot(self._tree.grow(node, token_ids, slot))
        return node.children[token_ids[0]]

    def _join(self, sequence: Sequence, node: Node) -> None:
        """Somebody else computed the same ids: the sequence drops its cells and shares theirs."""
        slot, length = sequence.slot, len(node.token_ids)
        assert slot is not None
        self._num_used -= length
        if node.is_parked:
            self._revive(node, slot)
            return
        self.num_free += length
        self._operations.append(Drop(slot, node.start, node.end))
        self._operations.append(Share(self._tree.holder(node), slot, node.start, node.end))

    def _acquire_slot(self) -> int:
        while not self._free_slots:
            leaf = self._tree.oldest_leaf()
            assert leaf is not None, "there are more slots than live sequences can hold"
            self._give_up(leaf, len(leaf.token_ids))
        slot = self._free_slots.pop()
        self._live_slots.add(slot)
        return slot

    def _free_slot(self, slot: int) -> None:
        self._operations.append(Drop(slot, 0))
        self._free_slots.append(slot)

    def _free_idle_slot(self, slot: int | None) -> None:
        """Frees a slot that held a prefix, unless its sequence lives."""
        if slot is not None and slot not in self._live_slots:
            self._free_slot(slot)

    def _give_up(self, leaf: Node, num_cells: int) -> None:
        """Frees cells of an idle leaf: all of them where they can be parked, else the last ones."""
        slot = leaf.slot
        assert slot is not None
        if leaf.children or (self._limits.max_parked and len(leaf.token_ids) >= WORTH_PARKING):
            self._park(leaf, slot)
            return
        num_cells = min(num_cells, len(leaf.token_ids))
        self._operations.append(Drop(slot, leaf.end - num_cells))
        self.num_free += num_cells
        self._free_idle_slot(self._tree.shorten(leaf, num_cells))

    def _park(self, leaf: Node, slot: int) -> None:
        span = Span(next(self._span_ids), leaf.start, leaf.end)
        self._operations += [Park(slot, span), Drop(slot, leaf.start)]
        self.num_free += span.num_tokens
        self._free_idle_slot(self._tree.park(leaf, span))
        while self._tree.num_parked > self._limits.max_parked:
            oldest = self._tree.oldest_parked()
            if oldest is None:
                return
            forgotten = self._tree.discard(oldest)
            if forgotten is not None:
                self._operations.append(Discard(forgotten))

    def _park_idle(self) -> None:
        """When a sequence comes, not when one goes: it may be the one that goes on from there."""
        most = max(self._limits.max_idle, self.num_held // 2)
        while self._limits.max_parked and self._tree.num_idle > most:
            leaf = self._tree.oldest_leaf()
            if leaf is None:
                return
            self._give_up(leaf, len(leaf.token_ids))
