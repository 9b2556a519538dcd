"""Making durable what users wrote, before anybody is told of it.

Others keep what they were told of. Were a power loss to take it back, or leave half of it, the next scan would take
that for the user's own doing, and tell it in place of the good version that the others have.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable

from l2sync.modtree import ROOT, Observation, TreePath, name, parent

from .beneath import NOT_THERE, Beneath, Directories
from .chunker import READ

FEW = 8
"""Up to so many things are made durable one by one; beyond, the whole file system at once is faster."""


def make_durable(observations: Iterable[Observation], beneath: Beneath) -> None:
    """Return when all that was observed, deletions too, outlasts a power loss. Raises OSError."""
    seen = list(observations)
    if not seen:
        return
    if len(seen) > FEW or not _one_by_one(seen, beneath):
        beneath.sync()


def _one_by_one(seen: list[Observation], beneath: Beneath) -> bool:
    """Whether it could be done so: what cannot be opened, only the whole file system can make durable."""
    directories = {_above(one.path) for one in seen}
    with Directories(beneath) as opened:
        for one in seen:
            if not one.deleted and one.path not in directories and not _sync(one.path, opened):
                return False
        return all(_sync_directory(path, opened) for path in directories)


def _above(path: TreePath) -> TreePath:
    return ROOT if path == ROOT else parent(path)


def _sync(path: TreePath, directories: Directories) -> bool:
    try:
        status = directories.stat(path)
        if status is None or not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
            return status is None or stat.S_ISLNK(status.st_mode)  # a link comes with its name
        fd = os.open(name(path) or b".", READ, dir_fd=directories.get(_above(path)))
    except OSError as error:
        return error.errno in NOT_THERE
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
    return True


def _sync_directory(path: TreePath, directories: Directories) -> bool:
    try:
        os.fsync(directories.get(path))
    except OSError as error:
        if error.errno not in NOT_THERE:
            raise
        # It has gone meanwhile, and what was above it as well, perhaps.
        return path == ROOT or _sync_directory(parent(path), directories)
    return True
