"""Reading chunks of the tree's files, for those who lack them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import TypeAlias

from blake3 import blake3

from l2sync.modtree import TreePath, parent
from l2sync.modtree import name as last_name

from .beneath import Beneath, Directories
from .chunker import READ

Unreadable: TypeAlias = Callable[[TreePath, OSError], None]


def read_chunks(
    beneath: Beneath, wanted: Iterable[tuple[int, TreePath, int, int, bytes]], unreadable: Unreadable
) -> list[tuple[int, bytes | None]]:
    """Read chunks (number, path, offset, length, hash); None where they are no longer there.

    ``unreadable`` hears of files whose content is not to be had.
    """
    found: list[tuple[int, bytes | None]] = []
    with Directories(beneath) as directories:
        current: TreePath | None = None
        fd = -1
        try:
            for number, path, offset, length, digest in wanted:
                if path != current:
                    if fd >= 0:
                        os.close(fd)
                    current, fd = path, -1
                    fd = _open(directories, path, unreadable)
                found.append((number, _read(path, fd, offset, length, digest, unreadable)))
        finally:
            if fd >= 0:
                os.close(fd)
    return found


def _open(directories: Directories, path: TreePath, unreadable: Unreadable) -> int:
    try:
        return os.open(last_name(path), READ, dir_fd=directories.get(parent(path)))
    except OSError as error:
        unreadable(path, error)
        return -1


def _read(path: TreePath, fd: int, offset: int, length: int, digest: bytes, unreadable: Unreadable) -> bytes | None:
    if fd < 0:
        return None
    try:
        data = os.pread(fd, length, offset)
    except OSError as error:
        unreadable(path, error)
        return None
    return data if len(data) == length and blake3(data).digest() == digest else None
