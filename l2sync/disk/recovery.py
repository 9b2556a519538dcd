"""After a crash: what a batch had already brought to the disk is taken for that batch's, not for the user's doing."""

from __future__ import annotations

from l2sync.modtree import Entry, Order, TreePath

from .beneath import Beneath, Directories
from .finishing import Finishing
from .index import Index
from .look import signature
from .sources import is_already


def adopt(index: Index, beneath: Beneath) -> list[Entry]:
    """Write to the index those journaled entries that stand on disk and are not known there; returns them.

    Without this, the next scan would make versions of its own of them, and of a half-done batch a conflict.
    """
    adopted: dict[TreePath, tuple[Entry, bytes]] = {}
    with Directories(beneath) as directories:
        finishing = Finishing(index, beneath, directories)
        finishing.run()
        for entry in index.journaled():
            try:
                sig = _standing(entry, index, directories)
            except OSError:
                continue
            if sig is not None:
                adopted[entry.path] = (entry, sig)
        finishing.restore_times(adopted)
    _leave_unlinked(index, adopted)
    if adopted:
        beneath.sync()  # a process that was killed had not come to that
        index.put(list(adopted.values()))
    index.close_journal(None)
    return [entry for entry, _ in adopted.values()]


def _leave_unlinked(index: Index, adopted: dict[TreePath, tuple[Entry, bytes]]) -> None:
    """Names that were to share an inode, and do not yet, are still to be brought."""
    for label in {entry.link_group for entry, _ in adopted.values() if entry.link_group}:
        inodes = {
            row.entry().look(): row.signature[:8]
            for path, row in index.labelled(label).items()
            if path not in adopted and row.signature
        }
        for path, (entry, sig) in sorted(adopted.items()):
            if entry.link_group == label and inodes.setdefault(entry.look(), sig[:8]) != sig[:8]:
                del adopted[path]


def _standing(entry: Entry, index: Index, directories: Directories) -> bytes | None:
    """The signature of what stands there when it is the entry and not what the index says; else None."""
    row = index.row(entry.path)
    before = row.entry() if row is not None else None
    if before is not None and before.version.compare(entry.version) is not Order.BEFORE:
        return None  # what is put in place has seen what it replaces: this was the user
    status = directories.stat(entry.path)
    if status is None:
        return b"" if entry.deleted and before is not None and not before.deleted else None
    sig = signature(status)
    if entry.deleted or (row is not None and row.alive and row.signature == sig):
        return None
    return sig if is_already(entry, status, directories) else None
