"""Hard links: which paths share an inode, and the label by which their entries say so.

A label means nothing in itself. Entries that carry the same label and look the same stand for one inode; so as long
as the disk groups paths as the index does, labels stay as they are, whoever chose them.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Hashable, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import msgspec
from blake3 import blake3

from l2sync.modtree import Entry, Observation, TreePath

from .beneath import Beneath
from .index import Index, Row
from .reading import observed

_LABEL = 16


class Name(NamedTuple):
    """One name of an inode: the label that the index has for it, and whether it named the same inode before."""

    path: TreePath
    inode: Hashable
    label: bytes
    stayed: bool
    state: tuple[object, ...] = ()
    """How it looks, its label left out."""


def shared_key(entry: Entry | None) -> tuple[object, ...] | None:
    """What entries have in common that stand for one inode; None for one that has its inode alone."""
    return entry.look() if entry is not None and entry.link_group else None


def labels(names: Iterable[Name], taken: Callable[[bytes, list[TreePath]], bool]) -> dict[TreePath, bytes]:
    """The labels to give, such that equal labels mean one inode; empty for a path that was never linked.

    ``taken`` tells whether a label is in use by other paths than those given.
    """
    inodes: dict[Hashable, list[Name]] = {}
    for one in sorted(names, key=lambda one: one.path):
        inodes.setdefault(one.inode, []).append(one)
    found: dict[TreePath, bytes] = {}
    for inode, together in inodes.items():
        paths = [one.path for one in together]
        kept = {one.label for one in together if one.label and _keeps(inode, one.label, inodes)}
        if kept:
            label = max(kept, key=lambda label: (sum(one.label == label for one in together), label))
        elif len(together) > 1:
            label = _fresh(paths, taken)
        else:
            label = b""
        found.update(dict.fromkeys(paths, label))
    return found


def _keeps(inode: Hashable, label: bytes, inodes: dict[Hashable, list[Name]]) -> bool:
    """Whether an inode keeps a label: one that is new there leaves it to those that had it before.

    Of those, several may keep it as long as they look different; else the one with most of its paths does.
    """
    claims = {}
    for number, together in inodes.items():
        mine = [one for one in together if one.label == label]
        if mine:
            claims[number] = (sum(one.stayed for one in mine), len(mine), mine[0].path, together[0].state)
    own = claims[inode]
    if not own[0] and any(stayed for stayed, *_ in claims.values()):
        return False
    rivals = [number for number, claim in claims.items() if claim[3] == own[3] or not own[0]]
    return inode == max(rivals, key=lambda number: (claims[number][:2], claims[number][2]))


def _fresh(paths: list[TreePath], taken: Callable[[bytes, list[TreePath]], bool]) -> bytes:
    """A label made from the paths, so that nodes which find the same links by themselves agree on it."""
    salt = 0
    while True:
        digest = blake3(b"%d\0" % salt + b"\0".join(paths)).digest(length=_LABEL)
        if not taken(digest, paths):
            return digest
        salt += 1


@dataclass(slots=True)
class Sighting:
    """A name that was looked at anew."""

    seen: Observation
    signature: bytes
    row: Row | None
    """What the index has of it, if anything should stand there."""


class LinkedNames:
    """What a scan met that has, or had, more than one name: judged when all of it was looked at."""

    def __init__(self, index: Index, beneath: Beneath) -> None:
        self._index = index
        self._beneath = beneath
        self._met: dict[TreePath, Sighting] = {}

    def meet(self, path: TreePath, sighting: Sighting) -> None:
        """Take one in."""
        self._met[path] = sighting

    def mates(self) -> dict[TreePath, Row]:
        """Other paths that shared an inode or a label with what was met, as the index has them."""
        found: dict[TreePath, Row] = {}
        for path, sighting in self._met.items():
            found |= self._sharing(path, _inode(sighting.signature))
            label = _label(sighting.row)
            if label:
                found |= self._index.labelled(label)
        return {path: row for path, row in found.items() if path not in self._met and not self._beneath.closed(path)}

    def _sharing(self, path: TreePath, inode: int) -> dict[TreePath, Row]:
        """What was last seen to be a name of this inode of the file system that ``path`` is on."""
        found, top = self._index.sharing(inode), self._top(path)
        return {mate: row for mate, row in found.items() if self._top(mate) == top}

    def _top(self, path: TreePath) -> TreePath | None:
        return None if self._beneath.closed(path) else self._beneath.system(path).top

    def settle(self, elsewhere: Container[TreePath]) -> Iterator[Sighting]:
        """What was met, with its label; and mates whose label changes. ``elsewhere``: mates that are mates no more."""
        mates = {path: row for path, row in self.mates().items() if row.signature and path not in elsewhere}
        names = [
            Name(path, self._inode(path, row.signature), _label(row), True, _state(row.entry()))
            for path, row in mates.items()
        ]
        for path, sighting in self._met.items():
            inode, row = self._inode(path, sighting.signature), sighting.row
            stayed = row is not None and bool(row.signature) and self._inode(path, row.signature) == inode
            names.append(Name(path, inode, _label(row), stayed, _state(sighting.seen)))
        given = labels(names, self._taken)
        for path, row in mates.items():
            entry = row.entry()
            if entry.link_group != given[path]:
                yield Sighting(_with_label(observed(entry), given[path]), row.signature, row)
        for path, sighting in self._met.items():
            sighting.seen = _with_label(sighting.seen, given[path])
            yield sighting

    def _inode(self, path: TreePath, signature: bytes) -> Hashable:
        return self._top(path), _inode(signature)

    def _taken(self, label: bytes, paths: list[TreePath]) -> bool:
        return any(path not in paths for path in self._index.labelled(label))


def _inode(signature: bytes) -> int:
    return int.from_bytes(signature[:8], "big")


def _label(row: Row | None) -> bytes:
    return row.entry().link_group if row is not None else b""


def _state(seen: Observation) -> tuple[object, ...]:
    return _with_label(seen, b"").look()


def _with_label(seen: Observation, label: bytes) -> Observation:
    return msgspec.structs.replace(seen, link_group=label)
