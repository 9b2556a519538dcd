"""Whether a file's times tell of every change, and letting a moment pass where they do not."""

from __future__ import annotations

import os
import time
from itertools import pairwise

_TICK_NS = 10_000_000
"""Two writes within one tick of the kernel's clock may leave the same times behind."""
_ROUNDS = 16


def tells_every_change(directory: int) -> bool:
    """Whether each change that follows a look has a time of its own in the file system of this open directory.

    Linux 6.13 and later do so on ext4, xfs, btrfs and tmpfs (multigrain timestamps). Found out by trying on a
    nameless file: without that, so many changes would have to be a tick apart each to look different.
    """
    try:
        fd = os.open(b".", os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o600, dir_fd=directory)
    except OSError:
        return False
    try:
        times = [os.fstat(fd).st_ctime_ns]
        for _ in range(_ROUNDS):
            os.pwrite(fd, b"x", 0)
            times.append(os.fstat(fd).st_ctime_ns)
        return all(later > before for before, later in pairwise(times))
    except OSError:
        return False
    finally:
        os.close(fd)


def wait_for_the_tick(status: os.stat_result) -> None:
    """A file written this very moment could be written again without its times' telling: let the moment pass."""
    age = time.time_ns() - status.st_ctime_ns
    if 0 <= age < _TICK_NS:
        time.sleep((_TICK_NS - age) / 1e9)
