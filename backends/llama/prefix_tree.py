"""Owns which prefixes are computed: a radix tree over ids. Knows no sequences, no native code.

A resident node's ids each take one KV cell; a parked node's are a span in ordinary memory. Above
a resident node all are resident. A resident node without a resident child is a leaf: it names the
slot whose cells are the whole path from the root to it, so that every resident id has a holder.
Paths with another salt have another root and are never found. As in SGLang's RadixCache, a lock on
a node counts on all nodes above it, and only what is unlocked goes, from the end of a path.
"""

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field

from backends.llama.plan import Span


@dataclass(slots=True, eq=False)
class Node:
    """The ids between `parent` and here; `end` is the position after the last of them."""

    parent: "Node | None"
    token_ids: list[int]
    end: int
    salt: Hashable
    slot: int | None = None
    span: Span | None = None
    num_locks: int = 0
    last_used: int = 0
    num_resident_children: int = 0
    children: dict[int, "Node"] = field(default_factory=dict)

    @property
    def start(self) -> int:
        return self.end - len(self.token_ids)

    @property
    def is_parked(self) -> bool:
        return self.span is not None

    @property
    def is_leaf(self) -> bool:
        return not self.num_resident_children and not self.is_parked

    def path(self) -> Iterator["Node"]:
        """From here up, without the root."""
        node = self
        while node.parent is not None:
            yield node
            node = node.parent


@dataclass(frozen=True, slots=True)
class Match:
    """The first `length` ids of a prompt are computed; they end in or at `node`."""

    node: Node
    length: int

    @property
    def resident(self) -> "Match":
        """As much of it as needs no restoring."""
        node = self.node
        while node.is_parked and node.parent is not None:
            node = node.parent
        return Match(node, min(node.end, self.length))

    @property
    def num_cells(self) -> int:
        """Cells that must be free or idle to have it: those nothing holds yet, and restored ones.

        A span is restored whole before what is too much goes again.
        """
        idle, largest_span = 0, 0
        for node in self.node.path():
            if node.span is not None:
                largest_span = max(largest_span, node.span.num_tokens)
            if node.is_parked or not node.num_locks:
                idle += min(node.end, self.length) - node.start
        return idle + largest_span


def common_length(left: Sequence[int], right: Sequence[int], offset: int) -> int:
    """How many ids `left` and `right[offset:]` have in common at their start."""
    low, high = 0, min(len(left), len(right) - offset)
    if left[:high] == right[offset : offset + high]:
        return high
    while low < high:  # slices are compared in C: halving beats a loop over ids
        middle = (low + high + 1) // 2
        if left[low:middle] == right[offset + low : offset + middle]:
            low = middle
        else:
            high = middle - 1
    return low


class PrefixTree:
    """`num_tokens` counts the resident ids, `num_locked` those of them that must stay.

    `num_parked` counts the ids of all spans that a node still refers to.
    """

    def __init__(self) -> None:
        self.num_tokens = 0
        self.num_locked = 0
        self.num_parked = 0
        self._roots: dict[Hashable, Node] = {}
        self._leaves: set[Node] = set()
        self._parked: set[Node] = set()
        self._span_users: dict[Span, int] = {}
        self._clock = 0

    @property
    def num_leaves(self) -> int:
        return len(self._leaves)

    @property
    def num_idle(self) -> int:
        """Resident ids that nothing holds."""
        return self.num_tokens - self.num_locked

    def root(self, salt: Hashable) -> Node:
        root = self._roots.get(salt)
        if root is None:
            root = self._roots[salt] = Node(None, [], 0, salt)
        return root

    def match(self, salt: Hashable, token_ids: list[int], limit: int) -> Match:
        """The longest computed start of `token_ids[:limit]`. Changes nothing."""
        node = self._roots.get(salt)
        if node is None:
            return Match(Node(None, [], 0, salt), 0)
        while node.end < limit:
            child = node.children.get(token_ids[node.end])
            if child is None:
                break
            length = min(common_length(child.token_ids, token_ids, node.end), limit - node.end)
            if length < len(child.token_ids):
                return Match(child, child.start + length)
            node = child
        return Match(node, node.end)

    def node_at(self, match: Match) -> Node | None:
        """The node that ends where the match does; splits one where it has to."""
        if not match.length:
            return None
        return self.split(match.node, match.length - match.node.start)

    def split(self, node: Node, length: int) -> Node:
        """The node of the first `length` ids of `node`, which keeps the rest, slot and locks."""
        if length == len(node.token_ids):
            return node
        parent = node.parent
        assert parent is not None
        assert 0 < length < len(node.token_ids)
        upper = Node(parent, node.token_ids[:length], node.start + length, node.salt)
        upper.num_locks, upper.last_used, upper.span = node.num_locks, node.last_used, node.span
        parent.children[upper.token_ids[0]] = upper
        node.parent, node.token_ids = upper, node.token_ids[length:]
        upper.children[node.token_ids[0]] = node
        if node.span is not None:
            self._span_users[node.span] += 1
            self._parked.add(upper)
        else:
            upper.num_resident_children = 1
        return upper

    def grow(self, node: Node, token_ids: list[int], slot: int) -> int | None:
        """A new leaf below `node`, held by `slot`. Returns the slot that held `node` till now."""
        leaf = Node(node, token_ids, node.end + len(token_ids), node.salt)
        leaf.last_used = self._clock
        node.children[token_ids[0]] = leaf
        return self._settle(leaf, slot)

    def revive(self, node: Node, slot: int) -> tuple[Span | None, int | None]:
        """Makes a parked node below a resident one resident, held by `slot`.

        Returns its span where no other node refers to it, and the slot that held the parent.
        """
        span = self._release_span(node)
        return span, self._settle(node, slot)

    def extend(self, leaf: Node, token_ids: list[int]) -> None:
        """More ids at the end of a leaf without children, computed by the slot that holds it."""
        assert leaf.is_leaf
        assert not leaf.children
        leaf.token_ids.extend(token_ids)
        leaf.end += len(token_ids)
        self.num_tokens += len(token_ids)
        self.num_locked += len(token_ids) if leaf.num_locks else 0

    def lock(self, node: Node) -> None:
        for each in node.path():
            if not each.num_locks and not each.is_parked:
                self.num_locked += len(each.token_ids)
            each.num_locks += 1

    def unlock(self, node: Node) -> None:
        for each in node.path():
            assert each.num_locks > 0
            each.num_locks -= 1
            if not each.num_locks and not each.is_parked:
                self.num_locked -= len(each.token_ids)

    def touch(self, node: Node) -> None:
        """Marks the path to `node` as used last."""
        self._clock += 1
        for each in node.path():
            each.last_used = self._clock

    def holder(self, node: Node) -> int:
        """A slot that holds the whole path to a resident node."""
        while node.num_resident_children:
            node = next(child for child in node.children.values() if not child.is_parked)
        assert node.slot is not None
        return node.slot

    def oldest_leaf(self) -> Node | None:
        """The unlocked leaf that was used least recently."""
        unlocked = (leaf for leaf in self._leaves if not leaf.num_locks)
        return min(unlocked, key=_last_used, default=None)

    def oldest_parked(self) -> Node | None:
        """The parked node with nothing below it that was used least recently."""
        ends = (node for node in self._parked if not node.children and not node.num_locks)
        return min(ends, key=_last_used, default=None)

    def shorten(self, leaf: Node, num_tokens: int) -> int | None:
        """Takes ids off the end of a leaf without children. Returns a slot that is now unused.

        Where the whole leaf goes, a parent that becomes a leaf takes the slot over.
        """
        assert not leaf.children
        first = leaf.token_ids[0]
        if num_tokens < len(leaf.token_ids):
            self.num_tokens -= num_tokens
            leaf.end -= num_tokens
            del leaf.token_ids[len(leaf.token_ids) - num_tokens :]
            return None
        unused = self._withdraw(leaf)
        self._unlink(leaf, first)
        return unused

    def park(self, leaf: Node, span: Span) -> int | None:
        """Turns a leaf's cells into a span. Returns a slot that is now unused, as `shorten`."""
        unused = self._withdraw(leaf)
        leaf.span = span
        self._span_users[span] = 1
        self._parked.add(leaf)
        self.num_parked += span.num_tokens
        return unused

    def discard(self, node: Node) -> Span | None:
        """Forgets a parked node without children; returns its span if nothing else refers to it."""
        assert not node.children
        span = self._release_span(node)
        self._unlink(node, node.token_ids[0])
        return span

    def check(self) -> None:
        """Asserts the counts, and that exactly the leaves have slots, each another. Slow."""
        nodes = [node for root in self._roots.values() for node in _below(root)]
        resident = [node for node in nodes if not node.is_parked]
        assert sum(len(n.token_ids) for n in resident) == self.num_tokens
        assert sum(len(n.token_ids) for n in resident if n.num_locks) == self.num_locked
        assert {node for node in nodes if node.is_parked} == self._parked
        assert {node.span for node in self._parked} == set(self._span_users)
        assert sum(span.num_tokens for span in self._span_users) == self.num_parked
        leaves = {node for node in nodes if node.is_leaf}
        assert leaves == self._leaves == {node for node in nodes if node.slot is not None}
        assert len({leaf.slot for leaf in leaves}) == len(leaves)
        for node in nodes:
            _check_node(node)

    def _settle(self, leaf: Node, slot: int) -> int | None:
        parent = leaf.parent
        assert parent is not None
        held_before, parent.slot = parent.slot, None
        parent.num_resident_children += 1
        leaf.slot = slot
        self._leaves.discard(parent)
        self._leaves.add(leaf)
        self.num_tokens += len(leaf.token_ids)
        self.num_locked += len(leaf.token_ids) if leaf.num_locks else 0
        return held_before

    def _withdraw(self, leaf: Node) -> int | None:
        """The leaf is no longer resident; its slot goes to a parent that is the next leaf."""
        slot, parent = leaf.slot, leaf.parent
        assert leaf.is_leaf
        assert not leaf.num_locks
        assert slot is not None
        assert parent is not None
        self.num_tokens -= len(leaf.token_ids)
        leaf.slot = None
        self._leaves.remove(leaf)
        parent.num_resident_children -= 1
        if parent.num_resident_children or parent.parent is None:
            return slot
        parent.slot = slot
        self._leaves.add(parent)
        return None

    def _unlink(self, node: Node, first: int) -> None:
        parent = node.parent
        assert parent is not None
        del parent.children[first]
        if parent.parent is None and not parent.children:
            self._roots.pop(parent.salt, None)

    def _release_span(self, node: Node) -> Span | None:
        span, node.span = node.span, None
        assert span is not None
        self._parked.remove(node)
        self._span_users[span] -= 1
        if self._span_users[span]:
            return None
        del self._span_users[span]
        self.num_parked -= span.num_tokens
        return span


def _last_used(node: Node) -> int:
    return node.last_used


def _below(root: Node) -> Iterator[Node]:
    waiting = list(root.children.values())
    while waiting:
        node = waiting.pop()
        waiting.extend(node.children.values())
        yield node


def _check_node(node: Node) -> None:
    parent = node.parent
    assert parent is not None
    assert node.token_ids
    assert node.start == parent.end
    assert parent.parent is None or node.num_locks <= parent.num_locks
    assert node.is_parked or not parent.is_parked
    resident = [child for child in node.children.values() if not child.is_parked]
    assert node.num_resident_children == len(resident)
    assert node.span is None or node.span.start <= node.start < node.end <= node.span.end
