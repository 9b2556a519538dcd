"""Writing as a new replica: what was written since the start under the old number gets new versions, nothing else."""

from __future__ import annotations

import pytest

from l2sync.modtree import Entry, Kind, ModTree, Observation, TreePath, VersionVector
from l2sync.node import tree as module
from l2sync.node.api import NodeSettings, TreeSetup
from l2sync.node.tree import SharedTree

OLD, OTHER, NEW = 1, 2, 3


def entry(path: bytes, *dots: tuple[int, int], time: int = 0) -> Entry:
    version = VersionVector(dots)
    return Entry(path=TreePath(path), kind=Kind.FILE, version=version, dot=dots[-1], author="other", mtime_ns=time)


def opened(*known: Entry, counter: int) -> SharedTree:
    return SharedTree(TreeSetup("tree", "/tree", OLD, counter, ModTree(known)), NodeSettings())


def seen(path: bytes, time: int) -> Observation:
    return Observation(path=TreePath(path), kind=Kind.FILE, mtime_ns=time)


@pytest.mark.parametrize("most", [1, 100], ids=["too many to name", "named"])
def test_what_was_written_since_the_start_is_versioned_anew(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_MADE", most)
    old, both = entry(b"old", (OLD, 7)), entry(b"both", (OLD, 5), (OTHER, 4))
    shared = opened(old, both, entry(b"theirs", (OTHER, 9)), counter=7)
    shared.observe([seen(b"new", 1), seen(b"both", 2), seen(b"gone again", 3)], "me", 0)
    shared.observe([seen(b"both", 4)], "me", 0)
    shared.tree.remove(TreePath(b"gone again"))
    remade = {one.path: one for one in shared.renew_replica(NEW, "me", 1)}
    assert remade.keys() == {b"new", b"both"}
    for one in remade.values():
        assert one.version.counter(OLD) <= 7 and one.version.counter(NEW) == one.dot[1] and one.dot[0] == NEW
    assert remade[TreePath(b"both")].version.covers(both.version) and remade[TreePath(b"both")].mtime_ns == 4
    assert shared.tree.get(TreePath(b"old")) == old
    assert shared.counter == 2 and not shared.renew_replica(NEW + 1, "me", 2), "they are no more of the old number's"


def test_once_it_agrees_with_another_nothing_is_in_doubt() -> None:
    shared = opened(counter=0)
    shared.observe([seen(b"f", 1)], "me", 0)
    shared.trust_counter()
    shared.observe([seen(b"g", 1)], "me", 0)
    assert shared.renew_replica(NEW, "me", 1) == []
