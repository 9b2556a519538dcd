"""Whether a file system has room for what is to be staged: a file too large for it must not fill it first."""

from __future__ import annotations

import os
from collections.abc import Iterable

from l2sync.modtree import Entry, TreePath

from .guard import RESERVE


def too_large(directory: int, entries: Iterable[Entry]) -> dict[TreePath, str]:
    """Files that would not fit even alone, and why. Raises OSError."""
    status = os.fstatvfs(directory)
    free = (status.f_bavail if os.geteuid() else status.f_bfree) * status.f_frsize
    most = free - min(RESERVE, free // 8)
    return {
        entry.path: f"no space for it: it needs {_amount(need)}, {_amount(free)} are free"
        for entry in entries
        if entry.size > most and (need := _least(entry)) > most
    }


def _least(entry: Entry) -> int:
    """Bytes that the file takes at the least: what repeats in it may be a hole."""
    return sum(dict(entry.chunk_list()).values())


def _amount(size: int) -> str:
    return f"{size / 2**20:,.1f} MiB"
