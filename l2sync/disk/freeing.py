"""Content of large files that have lost their last name: freed when nobody waits for it.

In memory or on a disk, to free 1 GiB takes some 0.15 s of processor time, and where several nodes share processors the
last of them would show its new version that much later.
"""

from __future__ import annotations

import contextlib
import os
import stat

_LARGE = 16 << 20
"""Bytes from which on freeing takes longer than putting a file in its place."""
_MOST = 32
"""So many are held; what comes beyond is freed at once."""
_HOLD = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC


class Freeing:
    """Removes files, and holds the large ones until `finish`. After a crash the system frees what was held."""

    def __init__(self) -> None:
        self._held: list[int] = []

    @property
    def waiting(self) -> bool:
        """Whether there is anything to be freed."""
        return bool(self._held)

    def remove(self, child: bytes, directory: int, status: os.stat_result) -> None:
        """Remove a directory's child, a file or link that was seen as ``status``. Raises OSError."""
        if not stat.S_ISREG(status.st_mode) or status.st_size < _LARGE or len(self._held) >= _MOST:
            os.unlink(child, dir_fd=directory)
            return
        with contextlib.suppress(OSError):
            self._held.append(os.open(child, _HOLD, dir_fd=directory))
        os.unlink(child, dir_fd=directory)

    def finish(self) -> None:
        """Free what is held."""
        while self._held:
            os.close(self._held.pop())
