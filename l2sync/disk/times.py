"""Times that the file system cannot hold: it shows the nearest that it can, and the entry keeps the true one."""

from __future__ import annotations

import os
from collections.abc import Callable

_COARSE_NS = 100
"""The kernel moves a time to the edge of what a file system holds, or to a tick of it: whole multiples of this."""


class Times:
    """What becomes of a modification time here, as found out by setting it on a directory of our own."""

    def __init__(self, private: Callable[[], int]) -> None:
        self._private = private
        """Opens that directory."""

    def same(self, wanted: int, shown: int) -> bool:
        """Whether a file that was given the time ``wanted`` shows ``shown`` here (ns). Raises OSError."""
        return wanted == shown or (shown % _COARSE_NS == 0 and self._shown(wanted) == shown)

    def seen(self, shown: int, before: int) -> int:
        """What to say of a file that shows a time and was known to have another (ns). Raises OSError."""
        return before if self.same(before, shown) else shown

    def _shown(self, wanted: int) -> int:
        directory = self._private()
        try:
            os.utime(directory, ns=(wanted, wanted))
            return os.fstat(directory).st_mtime_ns
        finally:
            os.close(directory)
