"""A brake that is switched off."""

from __future__ import annotations

from l2sync.modtree import Entry, Kind, ModTree, Observation, TreePath, VersionVector
from l2sync.node.brake import Brake


def test_a_hundred_percent_is_no_brake_however_much_has_gone_lately() -> None:
    tree, paths = ModTree(), [TreePath(b"f%d" % number) for number in range(60)]
    for path in paths:
        tree.put(Entry(path=path, kind=Kind.FILE, version=VersionVector(((1, 1),)), dot=(1, 1)))
    gone = [Observation(path=path, kind=Kind.TOMBSTONE) for path in paths]
    off, on = Brake(100), Brake(50)
    assert all(off.judge(tree, gone + gone, now) is None for now in range(3))
    assert on.judge(tree, gone, 0) is not None
