"""After a crash: what an application had half done is brought to its end, lest it be taken for a user's doing.

Each step of an application but three leaves a path as it was or as it shall be: attributes are set one after the
other, a directory is made before it gets its own, and a file that moves has both names for a moment.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Mapping

from l2sync.modtree import ROOT, Entry, Kind, Order, TreePath, name, parent

from .beneath import DIRECTORY, Beneath, Directories
from .chunker import READ
from .holes import copy_all
from .index import Index, Row
from .look import kind_of, same_content, set_attributes, set_open_attributes, signature, signed_mtime, without_ctime
from .staging import AREA

_FRESH_MODE = 0o700
"""What a directory has until it gets its own mode."""


class Finishing:
    """Brings to their end those journaled entries that are half there."""

    def __init__(self, index: Index, beneath: Beneath, directories: Directories) -> None:
        self._beneath = beneath
        self._directories = directories
        self._entries: dict[TreePath, Entry] = {}
        for entry in index.journaled():
            known = self._entries.get(entry.path)
            if known is None or known.version.compare(entry.version) is Order.BEFORE:
                self._entries[entry.path] = entry
        self._rows = index.rows(self._entries.keys() | {parent(path) for path in self._entries})

    def run(self) -> None:
        """Do it. What cannot be done is left as it is: the next scan reports it."""
        deepest_first = sorted(self._entries, reverse=True)
        for step in (self._end_move, self._end_attributes):
            for path in deepest_first:
                with contextlib.suppress(OSError, ValueError, OverflowError):
                    step(self._entries[path])

    def restore_times(self, adopted: Mapping[TreePath, object]) -> None:
        """Directories in which something was put in place get back the time that they had."""
        for path in {parent(path) for path in adopted} - adopted.keys():
            row = self._rows.get(path)
            with contextlib.suppress(OSError):
                status = self._directories.stat(path)
                if status is not None and row is not None and row.alive and row.kind is Kind.DIR:
                    before = row.entry()
                    if _attributes(status) == (before.mode, before.uid, before.gid):
                        mtime = signed_mtime(row.signature)
                        os.utime(self._directories.get(path), ns=(mtime, mtime))

    def _end_move(self, entry: Entry) -> None:
        """A file that left its place has lent its inode to another name: the old name goes, or they part."""
        row, status = self._rows.get(entry.path), self._directories.stat(entry.path)
        if status is None or row is None or not row.alive or not stat.S_ISREG(status.st_mode) or status.st_nlink < 2:
            return
        if without_ctime(signature(status)) != without_ctime(row.signature) or same_content(entry, row.entry()):
            return
        if row.entry().version.compare(entry.version) is not Order.BEFORE:
            return
        takers = [path for path in self._entries if self._has_taken(path, entry.path, status)]
        if not takers:
            return
        if entry.deleted:
            os.unlink(name(entry.path), dir_fd=self._directories.get(parent(entry.path)))
        else:
            for taker in takers:
                self._part(self._entries[taker])

    def _has_taken(self, path: TreePath, giver: TreePath, status: os.stat_result) -> bool:
        if path == giver or self._entries[path].kind is not Kind.FILE:
            return False
        with contextlib.suppress(OSError):
            found, row = self._directories.stat(path), self._rows.get(path)
            had = row is not None and row.alive and row.signature[:8] == status.st_ino.to_bytes(8, "big")
            return found is not None and found.st_ino == status.st_ino and not had
        return False

    def _part(self, entry: Entry) -> None:
        """Give the path a file of its own with the same bytes. Raises OSError, EOFError."""
        directory, child = self._directories.get(parent(entry.path)), name(entry.path)
        area = self._beneath.open(AREA, DIRECTORY)
        try:
            source = os.open(child, READ, dir_fd=directory)
            try:
                target = os.open(b"parted", os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600, dir_fd=area)
                try:
                    copy_all(source, target, os.fstat(source).st_size)
                    set_open_attributes(entry, target, self._beneath.home.xattrs)
                    os.fsync(target)
                finally:
                    os.close(target)
            finally:
                os.close(source)
            os.rename(b"parted", child, src_dir_fd=area, dst_dir_fd=directory)
        finally:
            os.close(area)

    def _end_attributes(self, entry: Entry) -> None:
        status = self._directories.stat(entry.path)
        row = self._rows.get(entry.path)
        if entry.deleted or status is None or kind_of(status) is not entry.kind:
            return
        before = row.entry() if row is not None and row.alive and row.kind is entry.kind else None
        if before is not None and before.version.compare(entry.version) is not Order.BEFORE:
            return
        if entry.kind is Kind.DIR:
            if self._half(entry, before, status):
                fd = self._directories.get(entry.path)
                set_open_attributes(entry, fd, self._beneath.system(entry.path).xattrs)
        elif before is not None and row is not None and self._half_file(entry, before, row, status):
            directory = self._directories.get(parent(entry.path))
            xattrs = self._beneath.system(entry.path).xattrs
            set_attributes(entry, name(entry.path), directory, xattrs)

    def _half(self, entry: Entry, before: Entry | None, status: os.stat_result) -> bool:
        """Whether each attribute but the time is the old or the new one, and something shows that it was begun."""
        if entry.path == ROOT:
            return False
        fresh = (_FRESH_MODE, os.geteuid(), os.getegid())
        old = fresh if before is None else (before.mode, before.uid, before.gid)
        now = _attributes(status)
        if before is not None and (now, status.st_mtime_ns) == (old, before.mtime_ns):
            return False
        return all(one in both for one, both in zip(now, zip(old, _own(entry), strict=True), strict=True))

    def _half_file(self, entry: Entry, before: Entry, row: Row, status: os.stat_result) -> bool:
        same_bytes = same_content(entry, before) if entry.kind is Kind.FILE else entry.target == before.target
        same_inode = row.signature[:8] == status.st_ino.to_bytes(8, "big") and status.st_size == (
            before.size if entry.kind is Kind.FILE else status.st_size
        )
        times = (before.mtime_ns, entry.mtime_ns)
        return same_bytes and same_inode and status.st_mtime_ns in times and self._half(entry, before, status)


def _own(entry: Entry) -> tuple[int, int, int]:
    return entry.mode, entry.uid, entry.gid


def _attributes(status: os.stat_result) -> tuple[int, int, int]:
    return stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid
