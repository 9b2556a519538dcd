"""Digests that differ exactly where entries do, and the way down to the difference."""

from __future__ import annotations

import tracemalloc
from collections import deque
from random import Random

import msgspec
import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from l2sync.modtree import (
    ROOT,
    Chunk,
    Entry,
    Kind,
    ModTree,
    TreePath,
    VersionVector,
    name_hash,
    pack_chunks,
    pack_entry,
    tree_path,
)

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


def naive(tree: ModTree, path: TreePath = ROOT) -> bytes:
    """The digest of a subtree as it is declared, without anything remembered."""
    buckets: dict[int, list[bytes]] = {}
    for child in sorted(tree.children(path)):
        below = naive(tree, TreePath(path + b"/" + child if path else child))
        buckets.setdefault(name_hash(child)[0], []).append(len(child).to_bytes(2, "big") + child + below)
    entry = tree.get(path)
    own = blake3(pack_entry(entry)).digest() if entry is not None else bytes(32)
    if not buckets:
        return own
    rows = [bytes((byte,)) + blake3(b"".join(buckets[byte])).digest() for byte in sorted(buckets)]
    return blake3(own + b"".join(rows)).digest()


BESIDE = st.one_of(st.integers(0, 90), st.sampled_from((255, 256, 257, 300)))


@given(st.lists(st.tuples(entries(), st.booleans(), st.booleans()), max_size=12), BESIDE, st.randoms())
def test_what_is_remembered_of_digests_is_what_would_be_found(
    steps: list[tuple[Entry, bool, bool]], beside: int, rng: Random
) -> None:
    tree = ModTree(written(file(b"x/%d" % number)) for number in range(beside))
    expected = {path: tree.get(path) for path in tree.paths()}
    for entry, put, look in steps:
        other = tree_path(b"x/%d" % rng.randrange(max(beside, 90)))
        if put:
            tree.put(entry)
            expected[entry.path] = entry
        else:
            for path in (entry.path, other):
                tree.remove(path)
                expected.pop(path, None)
        if look:
            _ = tree.root_digest
    assert tree.root_digest == naive(tree)
    assert {path: tree.get(path) for path in tree.paths()} == expected and len(tree) == len(expected)
    assert tree.alive == sum(not entry.deleted for entry in expected.values() if entry is not None)


@pytest.mark.slow
def test_a_directory_of_any_size_is_remembered_as_what_would_be_found() -> None:
    tree, rng = ModTree(), Random(1)
    for count in range(9000):
        tree.put(written(file(b"x/%d" % count)))
        if count in (256, 257, 300, 2000, 8999):
            assert tree.root_digest == naive(tree)
            for number in rng.sample(range(count), 5):
                tree.put(written(file(b"x/%d" % number, b"new"), count=2))
                tree.remove(tree_path(b"x/%d" % rng.randrange(count)))
                _ = tree.root_digest if rng.random() < 0.5 else None
            assert tree.root_digest == naive(tree)
            assert len(set(tree.children(tree_path(b"x")))) == len(tree)


@given(entries())
def test_an_entry_is_held_as_it_was_put(entry: Entry) -> None:
    chunks = pack_chunks([Chunk(bytes(32), 1), Chunk(bytes(32), 2)])
    two = msgspec.structs.replace(entry, kind=Kind.FILE, target=b"", size=3, chunks=chunks)
    short = msgspec.structs.replace(entry, version=VersionVector((entry.dot,)))
    odd = msgspec.structs.replace(entry, xattrs=((b"user.x", b""),), link_group=b"label")
    large = [msgspec.structs.replace(two, size=size, chunks=b"") for size in (2**32 - 1, 2**32, 2**63)]
    often = [(entry.dot[0], 2**32 - 1), (entry.dot[0], 2**32)]
    counted = [msgspec.structs.replace(entry, version=entry.version.advance(*dot), dot=dot) for dot in often]
    merged = msgspec.structs.replace(entry, version=entry.version.advance(entry.dot[0], 7))
    seen = msgspec.structs.replace(entry, version=entry.version.join(VersionVector((n, 9) for n in range(10, 14))))
    for one in (entry, two, short, odd, *large, *counted, merged, seen):
        assert ModTree([one]).get(one.path) == one
        assert ModTree.of_packed([pack_entry(one)]).get(one.path) == one


@pytest.mark.slow
@pytest.mark.parametrize("beside", (100, 300, 3000))
def test_an_entry_that_several_wrote_takes_a_sixth_of_a_kilobyte(beside: int) -> None:
    version = VersionVector(((1, 1), (2, 5)))
    made = [
        msgspec.structs.replace(written(file(b"%d/%05d" % divmod(number, beside), b"%d" % number)), version=version)
        for number in range(12_000)
    ]
    packed = [pack_entry(one) for one in made]
    tracemalloc.start()
    try:
        tree = ModTree.of_packed(packed)
        assert tree.root_digest and tracemalloc.get_traced_memory()[0] / len(tree) < 190
    finally:
        tracemalloc.stop()


def test_a_path_of_very_many_parts_is_as_good_as_any() -> None:
    path, tree = b"", ModTree()
    for _ in range(1000):
        path += b"/a" if path else b"a"
        tree.put(written(folder(tree_path(path))))
        _ = tree.root_digest if len(path) % 500 == 1 else None
    before = tree.root_digest
    tree.put(written(folder(tree_path(path), mtime=2)))
    assert tree.root_digest != before and len(tree.paths()) == 1000


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


def test_a_directory_that_is_left_empty_by_forgetting_and_gets_a_child_changes_all_above() -> None:
    tree = ModTree(map(written, (folder(b"a"), folder(b"a/d"), file(b"a/d/x"))))
    tree.remove(tree_path(b"a/d/x"))
    _ = tree.root_digest
    tree.put(written(file(b"a/d/y")))
    assert tree.root_digest == ModTree(tree.entries()).root_digest
