"""Looking at one path for people: what stands there now, and whether it is ignored. For any thread."""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from l2sync.modtree import ROOT, Kind, TreePath, parent

from .beneath import NOT_THERE, Beneath, Directories
from .ignore import Ignore
from .look import kind_of
from .mounts import View, entered

_WHAT = {
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a character device",
    stat.S_IFBLK: "a block device",
}


@dataclass(frozen=True, slots=True)
class Seen:
    """``ignored``: the pattern, and where it is written; ``status``: what stat shows; ``error``: why nobody knows.

    ``what`` names a thing of a kind that is not kept in sync; ``kind`` is None then.
    """

    ignored: str | None = None
    status: os.stat_result | None = None
    kind: Kind | None = None
    what: str = ""
    error: str | None = None


def look_at(root: Path, ignore: Ignore, special: bool, path: TreePath, mounts: View | None = None) -> Seen:
    """Look at a path of the tree at ``root``; ``special``: FIFOs and devices are kept. Never raises OSError."""
    status, error = _stat(root, path, mounts or View())
    kind = None if status is None else kind_of(status, special)
    what = "" if status is None or kind is not None else _WHAT.get(stat.S_IFMT(status.st_mode), "an unknown thing")
    ignored = None if path == ROOT else ignore.why(path, kind is Kind.DIR)
    return Seen(ignored, status, kind, what, error)


def _stat(root: Path, path: TreePath, mounts: View) -> tuple[os.stat_result | None, str | None]:
    try:
        beneath = Beneath(root)
    except OSError as error:
        return None, f"the root {root} cannot be opened: {error.strerror}"
    try:
        with entered(beneath, mounts), Directories(beneath) as directories:
            return directories.stat(path), _behind_link(beneath, path)
    except OSError as error:
        if error.errno == errno.EXDEV and error.strerror == os.strerror(errno.EXDEV):
            return None, "another file system is mounted above it, which is not part of the tree"
        return None, error.strerror or str(error)
    finally:
        beneath.close()


def _behind_link(beneath: Beneath, path: TreePath) -> str | None:
    """Whether it can only be reached through a symbolic link, behind which nothing is part of the tree."""
    above = parent(path)
    try:
        os.close(beneath.open(above, os.O_PATH | os.O_DIRECTORY))
    except OSError as error:
        if error.errno == errno.ELOOP:
            return "a symbolic link stands above it, and what is behind links is not part of the tree"
        if error.errno not in NOT_THERE:
            raise
    return None
