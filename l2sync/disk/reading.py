"""Reading what stands at a path: each inode once, however many names it has."""

from __future__ import annotations

import os

import msgspec

from l2sync.modtree import ROOT, Entry, Kind, Observation, TreePath, name

from .beneath import DIRECTORY, Beneath
from .chunker import hash_file
from .index import Index, Row
from .look import observation, signature
from .moments import wait_for_the_tick
from .xattrs import Attributes


class Reader:
    """What one scan reads."""

    def __init__(self, beneath: Beneath, index: Index) -> None:
        self._beneath = beneath
        self._index = index
        self._read: dict[bytes, Observation] = {}
        """By signature, what has more than one name."""

    def read(
        self, path: TreePath, kind: Kind, status: os.stat_result, directory: int, before: Entry | None
    ) -> tuple[Observation, bytes]:
        """What stands there, and its signature; ``directory`` is the one it is in, if that is open.

        Raises OSError, Unsettled.
        """
        if status.st_nlink == 1 or kind is Kind.DIR:
            return self._look(path, kind, status, directory, before)
        sig = signature(status)
        known = self._read.get(sig)
        if known is None:
            rows = self._mates(path, status.st_ino)
            mates = [row.entry() for row in rows if row.signature == sig]
            if mates:
                known = observed(mates[0])
            else:
                # The names of an inode must come to look the same: cut into chunks alike, and with what is carried.
                like = before or next((row.entry() for row in rows if row.kind is kind), None)
                known, sig = self._look(path, kind, status, directory, like)
            self._read[sig] = known
        return msgspec.structs.replace(known, path=path, link_group=b""), sig

    def _mates(self, path: TreePath, inode: int) -> list[Row]:
        """What was last seen to be a name of this inode, in the same file system."""
        system, found = self._beneath.system(path), self._index.sharing(inode)
        known = {mate: row for mate, row in found.items() if not self._beneath.closed(mate)}
        return [row for mate, row in known.items() if self._beneath.system(mate) is system]

    def _look(
        self, path: TreePath, kind: Kind, status: os.stat_result, directory: int, before: Entry | None
    ) -> tuple[Observation, bytes]:
        system = self._beneath.system(path)
        xattrs, wait = system.xattrs, not system.fine_times
        target = chunks = b""
        if kind is Kind.FILE:
            status, chunks, attributes = hash_file(name(path), directory, xattrs, before, wait=wait)
        else:
            if wait:
                wait_for_the_tick(status)
            if kind is Kind.LINK:
                target = os.readlink(name(path), dir_fd=directory)
            if path == ROOT or directory < 0:
                attributes = self._of_directory(path)
            else:
                attributes = xattrs.of_child(name(path), directory)
        attributes = xattrs.seen(attributes, before.xattrs if before is not None else ())
        seen = observation(path, status, target, chunks, attributes)
        if before is not None and before.mtime_ns != seen.mtime_ns:
            mtime = system.times.seen(seen.mtime_ns, before.mtime_ns)
            seen = msgspec.structs.replace(seen, mtime_ns=mtime)
        return seen, signature(status)

    def _of_directory(self, path: TreePath) -> Attributes:
        fd = self._beneath.open(path, DIRECTORY)
        try:
            return self._beneath.system(path).xattrs.of_open(fd)
        finally:
            os.close(fd)


def observed(entry: Entry) -> Observation:
    """An entry without its version."""
    return Observation(**{field: getattr(entry, field) for field in Observation.__struct_fields__})
