"""Owns which prefixes are computed: a radix tree over ids. Knows no sequences, no native code.

Every id in the tree stands for one KV cell. A leaf names the slot whose cells are the whole path
from the root to it; an inner node's cells are held by the slots of the leaves below. Paths with
another salt have another root and are never found. As in SGLang's RadixCache, a lock on a node
counts on all nodes above it, and only unlocked leaves are shortened, from their end.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field


@dataclass(slots=True, eq=False)
class Node:
    """The ids between `parent` and here; `end` is the position after the last of them."""

    parent: "Node | None"
    token_ids: list[int]
    end: int
    salt: str | None
    slot: int | None = None
    num_locks: int = 0
    last_used: int = 0
    children: dict[int, "Node"] = field(default_factory=dict)

    @property
    def start(self) -> int:
        return self.end - len(self.token_ids)

    @property
    def is_leaf(self) -> bool:
        return not self.children

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
    def num_unlocked(self) -> int:
        """How many of them nothing holds yet."""
        below = self.length - self.node.start if not self.node.num_locks else 0
        above = (n for n in self.node.path() if n is not self.node)
        return below + sum(len(n.token_ids) for n in above if not n.num_locks)


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
    """`num_tokens` counts all cells of the tree, `num_locked` those that must stay."""

    def __init__(self) -> None:
        self.num_tokens = 0
        self.num_locked = 0
        self._roots: dict[str | None, Node] = {}
        self._leaves: set[Node] = set()
        self._clock = 0

    @property
    def num_leaves(self) -> int:
        return len(self._leaves)

    def root(self, salt: str | None) -> Node:
        root = self._roots.get(salt)
        if root is None:
            root = self._roots[salt] = Node(None, [], 0, salt)
        return root

    def match(self, salt: str | None, token_ids: list[int], limit: int) -> Match:
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
        upper.num_locks, upper.last_used = node.num_locks, node.last_used
        parent.children[upper.token_ids[0]] = upper
        node.parent, node.token_ids = upper, node.token_ids[length:]
        upper.children[node.token_ids[0]] = node
        return upper

    def grow(self, node: Node, token_ids: list[int], slot: int) -> Node:
        """A new leaf below `node`, held by `slot`; `node`'s own slot is no longer noted."""
        leaf = Node(node, token_ids, node.end + len(token_ids), node.salt, slot)
        leaf.last_used = self._clock
        node.children[token_ids[0]] = leaf
        node.slot = None
        self._leaves.discard(node)
        self._leaves.add(leaf)
        self.num_tokens += len(token_ids)
        return leaf

    def extend(self, leaf: Node, token_ids: list[int]) -> None:
        """More ids at the end of a leaf, computed by the slot that holds it."""
        assert leaf.is_leaf
        assert leaf.slot is not None
        leaf.token_ids.extend(token_ids)
        leaf.end += len(token_ids)
        self.num_tokens += len(token_ids)
        self.num_locked += len(token_ids) if leaf.num_locks else 0

    def lock(self, node: Node) -> None:
        for each in node.path():
            self.num_locked += len(each.token_ids) if not each.num_locks else 0
            each.num_locks += 1

    def unlock(self, node: Node) -> None:
        for each in node.path():
            assert each.num_locks > 0
            each.num_locks -= 1
            self.num_locked -= len(each.token_ids) if not each.num_locks else 0

    def touch(self, node: Node) -> None:
        """Marks the path to `node` as used last."""
        self._clock += 1
        for each in node.path():
            each.last_used = self._clock

    def holder(self, node: Node) -> int:
        """A slot that holds the whole path to `node`."""
        while node.children:
            node = next(iter(node.children.values()))
        assert node.slot is not None
        return node.slot

    def oldest_leaf(self) -> Node | None:
        """The unlocked leaf that was used least recently."""
        unlocked = (leaf for leaf in self._leaves if not leaf.num_locks)
        return min(unlocked, key=lambda leaf: leaf.last_used, default=None)

    def shorten(self, leaf: Node, num_tokens: int) -> int | None:
        """Takes ids off the leaf's end. Returns a slot that holds nothing more by itself, if any.

        Where the whole leaf goes, a parent that becomes a leaf takes the slot over.
        """
        slot = leaf.slot
        assert leaf.is_leaf
        assert not leaf.num_locks
        assert slot is not None
        self.num_tokens -= num_tokens
        leaf.end -= num_tokens
        first = leaf.token_ids[0]
        del leaf.token_ids[len(leaf.token_ids) - num_tokens :]
        if leaf.token_ids:
            return None
        self._leaves.remove(leaf)
        parent = leaf.parent
        assert parent is not None
        del parent.children[first]
        if parent.children:
            return slot
        if parent.parent is None:
            self._roots.pop(parent.salt, None)
            return slot
        parent.slot = slot
        self._leaves.add(parent)
        return None

    def check(self) -> None:
        """Asserts the counts, and that exactly the leaves have slots, each another. Slow."""
        nodes = [node for root in self._roots.values() for node in _below(root)]
        assert sum(len(node.token_ids) for node in nodes) == self.num_tokens
        assert sum(len(n.token_ids) for n in nodes if n.num_locks) == self.num_locked
        leaves = {node for node in nodes if node.is_leaf}
        assert leaves == self._leaves
        assert {node for node in nodes if node.slot is not None} == leaves
        assert len({leaf.slot for leaf in leaves}) == len(leaves)
        for node in nodes:
            parent = node.parent
            assert node.token_ids
            assert parent is not None
            assert node.start == parent.end
            assert parent.parent is None or node.num_locks <= parent.num_locks


def _below(root: Node) -> Iterator[Node]:
    waiting = list(root.children.values())
    while waiting:
        node = waiting.pop()
        waiting.extend(node.children.values())
        yield node
