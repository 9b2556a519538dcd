"""Digests that differ exactly where entries do, and the way down to the difference."""

from __future__ import annotations

from collections import deque
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2sync.modtree import ROOT, Entry, ModTree, TreePath, tree_path

from .make import entries, file, folder, written


@given(st.lists(entries(), max_size=12), st.randoms())
def test_the_digest_does_not_depend_on_the_order_of_arrival(found: list[Entry], rng: Random) -> None:
    last = {entry.path: entry for entry in found}
    a, b = ModTree(found), ModTree()
    shuffled = list(last.values())
    rng.shuffle(shuffled)
    for entry in shuffled:
        b.put(entry)
        _ = b.root_digest
    assert a.root_digest == b.root_digest and a.entries() == b.entries() and (a.alive, a.size) == (b.alive, b.size)


@given(st.lists(entries(), max_size=8), entries())
def test_any_other_entry_makes_another_digest_and_forgetting_it_brings_the_old_one_back(
    found: list[Entry], other: Entry
) -> None:
    tree = ModTree(found)
    before, held = tree.root_digest, tree.get(other.path)
    tree.put(other)
    assert (tree.root_digest == before) == (held == other)
    if held is None:
        tree.remove(other.path)
    else:
        tree.put(held)
    assert tree.root_digest == before


def descend(a: ModTree, b: ModTree) -> tuple[int, set[TreePath]]:
    """Play pieces to and fro: bytes that went over, and the paths that came out as different."""
    size, found = 0, set()
    waiting = deque([(a.piece(ROOT), b, a)])
    while waiting:
        piece, mine, theirs = waiting.popleft()
        size += 20 + len(piece.path) + 17 * len(piece.buckets) + sum(36 + len(name) for name, _, _ in piece.names)
        differences = mine.differences(piece)
        found |= set(differences.offer)
        for path, whole in differences.ask:
            found |= {e.path for e in theirs.entries(path)} if whole else {path}
        for place in differences.deeper:
            waiting.append((mine.piece(*place), theirs, mine))
    return size, found


@given(st.lists(entries(), max_size=10), st.lists(entries(), max_size=10), st.lists(entries(), max_size=10))
def test_the_way_down_finds_exactly_what_differs(both: list[Entry], left: list[Entry], right: list[Entry]) -> None:
    a, b = ModTree(both + left), ModTree(both + right)
    _, found = descend(a, b)
    paths = {e.path for e in a.entries()} | {e.path for e in b.entries()}
    assert found == {path for path in paths if a.get(path) != b.get(path)}


def _large(flat: bool, count: int) -> ModTree:
    tree = ModTree([written(folder(b""))])
    for i in range(count):
        if not flat and i % 100 == 0:
            tree.put(written(folder(b"d%d" % (i // 100))))
        tree.put(written(file(b"f%d" % i if flat else b"d%d/f%d" % (i // 100, i))))
    return tree


@pytest.mark.slow
@pytest.mark.parametrize("flat", [True, False])
def test_ten_differences_among_a_hundred_thousand_entries_cost_a_few_dozen_kilobytes(flat: bool) -> None:
    a, b = _large(flat, 100_000), _large(flat, 100_000)
    assert a.root_digest == b.root_digest
    changed = set()
    for i in range(0, 100_000, 10_000):
        path = tree_path(b"f%d" % i if flat else b"d%d/f%d" % (i // 100, i))
        b.put(written(file(path, b"new"), by=2, over=b.get(path)))
        changed.add(path)
    size, found = descend(a, b)
    assert found == changed and size < 40_000
