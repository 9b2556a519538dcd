"""Which way of watching a tree is used."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path

from l2sync.modtree import TreePath

from .fswatcher import FileSystemWatcher
from .inotify import InotifyWatcher
from .mounts import View
from .watcher import Watcher

MANY = 10_000
"""With more directories than this, hearing of a whole file system costs less than a watch for each of them."""
_WHY = {
    errno.EPERM: "it takes root of the host (CAP_SYS_ADMIN, CAP_DAC_READ_SEARCH)",
    errno.EXDEV: "the file system has parts of their own, such as subvolumes",
    errno.ENODEV: "the file system does not tell who it is",
    errno.EOPNOTSUPP: "the file system has no file handles",
    errno.ESTALE: "the file system does not take its own file handles",
    errno.EINVAL: "it takes Linux 5.9",
    errno.ENOSYS: "the kernel is built without it",
}


def open_watcher(
    root: Path,
    ignored: Callable[[TreePath], bool],
    wanted: str = "auto",
    refused: Callable[[str], None] = lambda reason: None,
    mounts: Callable[[], View] | None = None,
) -> Watcher:
    """A watcher of the whole tree, in the way ``wanted``: ``auto``, ``fanotify`` or ``inotify``.

    ``refused`` hears why fanotify was not to be had, where it was wanted; it is inotify then. Raises OSError when
    neither can be had, or the root cannot. ``mounts``: file systems mounted within the tree belong to it, as it tells.
    """
    if mounts is not None:
        if wanted == "fanotify":
            refused("it watches one file system, and cross_mounts asks for all that are mounted in the tree")
        return _each(root, ignored, None, mounts)
    if wanted == "fanotify" and (found := _whole(root, ignored, refused)) is not None:
        return found
    watcher = _each(root, ignored, MANY if wanted == "auto" else None)
    if not watcher.outgrown:
        return watcher
    watcher.close()
    return _whole(root, ignored, refused) or _each(root, ignored, None)


def _each(
    root: Path, ignored: Callable[[TreePath], bool], many: int | None, mounts: Callable[[], View] = View
) -> InotifyWatcher:
    watcher = InotifyWatcher(root, ignored, many, mounts)
    try:
        watcher.watch()
    except OSError:
        watcher.close()
        raise
    return watcher


def _whole(root: Path, ignored: Callable[[TreePath], bool], refused: Callable[[str], None]) -> FileSystemWatcher | None:
    try:
        return FileSystemWatcher(root, ignored)
    except OSError as error:
        refused(_WHY.get(error.errno or 0, error.strerror or str(error)))
        return None
