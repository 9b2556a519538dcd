"""Pairs of changes made at once on two nodes, and what every node ends with; written out as docs/conflicts.md.

``python -m tests.simulation.conflicts`` writes the page, ``... seen`` prints what the simulated nodes do, to be judged.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from l2sync.modtree import Kind, TreePath, tree_path

from .disk import Node, SimDisk
from .expected import OUTCOMES
from .expected_links import LINKED
from .world import SECOND, World

PAGE = Path(__file__).parents[2] / "docs" / "conflicts.md"
OLD = 1_000_000_000
FILE, LINK, NEW = b"d/f", b"d/l", b"d/n"
Change = Callable[[SimDisk, bytes, int], None]


def _put(path: bytes, node: Callable[[bytes], Node]) -> Change:
    def change(disk: SimDisk, who: bytes, now: int) -> None:
        place = tree_path(path)
        if place in disk.files:
            disk.delete(path)
        disk.files[place] = replace(node(who), mtime_ns=now)

    return change


def _file(who: bytes) -> Node:
    return Node(Kind.FILE, who)


def _link(who: bytes) -> Node:
    return Node(Kind.LINK, mode=0o777, target=who)


def _directory(path: bytes) -> Change:
    make = _put(path, lambda who: Node(Kind.DIR, mode=0o755))

    def change(disk: SimDisk, who: bytes, now: int) -> None:
        make(disk, who, now)
        disk.write(path + b"/" + who, who, now)

    return change


def _attribute(disk: SimDisk, who: bytes, now: int) -> None:
    place = tree_path(FILE)
    disk.files[place] = replace(disk.files[place], xattrs=((b"user.by", who),))


def _mode(disk: SimDisk, who: bytes, now: int) -> None:
    disk.chmod(FILE, 0o600 if who == b"first" else 0o640)


def _rename(path: bytes) -> Change:
    return lambda disk, who, now: void(disk.rename(path, path + b"-" + who))


def _delete(path: bytes) -> Change:
    return lambda disk, who, now: void(disk.delete(path))


def void(result: object) -> None:
    """A change has no result."""


GROUPS: dict[str, dict[str, Change]] = {
    "an existing file `f`": {
        "edit": _put(FILE, _file),
        "delete": _delete(FILE),
        "rename": _rename(FILE),
        "chmod": _mode,
        "xattr": _attribute,
        "to link": _put(FILE, _link),
        "to directory": _directory(FILE),
        "delete directory": _delete(b"d"),
        "rename directory": _rename(b"d"),
    },
    "an existing link `l`": {
        "retarget": _put(LINK, _link),
        "delete": _delete(LINK),
        "rename": _rename(LINK),
        "to file": _put(LINK, _file),
        "delete directory": _delete(b"d"),
    },
    "a new name `n`": {
        "create": _put(NEW, _file),
        "symlink": _put(NEW, _link),
        "mkdir": _directory(NEW),
        "delete directory": _delete(b"d"),
    },
}


@dataclass(frozen=True)
class Cell:
    """Two changes: ``first`` with the earlier time on one node, ``second`` with the later one on another."""

    group: str
    first: str
    second: str


CELLS = [Cell(group, a, b) for group, changes in GROUPS.items() for a in changes for b in changes]


def play(cell: Cell) -> World:
    """Three nodes that hold the same; two make a change each in the same moment; wait until all is quiet."""
    world = World(3)
    disk = world.hosts[0].disk
    disk.write(FILE, b"old", OLD)
    disk.files[tree_path(LINK)] = Node(Kind.LINK, mode=0o777, mtime_ns=OLD, target=b"old")
    world.start()
    assert world.run(30 * SECOND, lambda: world.in_sync() and world.same())
    changes = GROUPS[cell.group]
    for host, name, who, late in ((0, cell.first, b"first", 1), (1, cell.second, b"second", 2)):
        changes[name](world.hosts[host].disk, who, OLD + late * SECOND)
        world.touch(world.hosts[host], TreePath(b""))
    assert world.run(60 * SECOND, lambda: world.in_sync() and world.same()), "no peace"
    world.run(5 * SECOND)
    assert world.same()
    return world


def outcome(world: World) -> str:
    """What all have; a directory is named where nothing is in it."""
    words = []
    for path, node in sorted(world.hosts[2].disk.files.items()):
        name = bytes(path)
        name = name.split(b".conflict-")[0] + b" (copy)" if b".conflict-" in name else name
        if node.kind is Kind.DIR:
            bare = not any(other.startswith(path + b"/") for other in world.hosts[2].disk.files)
            words += [f"{name.decode()}/"] if name and bare else []
            continue
        link = node.kind is Kind.LINK
        word = f"{name.decode()} → {node.target.decode()}" if link else f"{name.decode()}: {node.data.decode()}"
        if not link and node.mode != 0o644:
            word += f" {node.mode:o}"
        words.append(word + "".join(f" by {value.decode()}" for _, value in node.xattrs))
    return "; ".join(words) or "nothing"


def document() -> str:
    """The page."""
    lines = [INTRODUCTION]
    for group, changes in GROUPS.items():
        lines += [f"\n## Changes to {group}\n", "| first | second | every node ends with |", "| --- | --- | --- |"]
        lines += [f"| {a} | {b} | {OUTCOMES[group, a, b]} |" for a in changes for b in changes]
    lines += [LINKS, "| first | second | every node ends with |", "| --- | --- | --- |"]
    lines += [f"| {a} | {b} | {ends} |" for (a, b), ends in LINKED.items()]
    return "\n".join(lines) + "\n"


INTRODUCTION = """# What two changes at once leave

Two nodes change the same thing before either has heard of the other: what every node ends with. The second change
has the later modification time, where it sets one. Each row is a test on three whole simulated nodes, which also
sees that all trees are equal and that no content that was written is lost.

Before: a directory `d` with a file `f` (content `old`, mode 644) and a link `l` to `old`. The changes write `first`
and `second`: as content, as target, as the end of a new name, as the value of an attribute (`by`), as what a new
directory holds; as modes, 600 and 640. `(copy)` is a conflict copy, `/` an empty directory, `→` a link.

The rules behind are in [modtree.md](modtree.md#merging), the reasons in
[0016](decisions/0016-what-two-changes-leave.md)."""

LINKS = """
## Changes to hard links

Before: a directory `d` with a file (content `old`, mode 644) of two names, `f` and `g`. Each row is a test on three
whole nodes whose trees are on a real file system; `=` stands between names of one inode. A file edited in place is
edited under all its names; one that is saved anew (an editor's rename) leaves the other names as they were. What was
linked while another node changed the content is a file of its own, with the content that it was linked to. Why:
[0011](decisions/0011-hard-links-by-label.md).
"""

if __name__ == "__main__":
    if sys.argv[1:] == ["seen"]:
        for one in CELLS:
            key = (one.group, one.first, one.second)
            print(f"    {key}: {outcome(play(one))!r},".replace("'", '"'), flush=True)
    else:
        PAGE.write_text(document())
