"""Memory at hand for what a measured change will take.

A page that the hypervisor has to give first costs six times what filling it costs, and it takes them back some seconds
after they were freed: no tool could be told from another. So the memory is held in a file of zeros between the
changes, and freed right before each.
"""

from __future__ import annotations

from pathlib import Path

_BLOCK = 1 << 20


class Reserve:
    """Such a file, of so many bytes. Does nothing where trees do not lie in memory."""

    def __init__(self, folder: Path, size: int) -> None:
        self._place = folder / "reserve"
        self._size = size if is_tmpfs(folder) else 0

    def hold(self) -> None:
        """Have all of them, if it was not so before."""
        zeros = bytes(_BLOCK)
        with open(self._place, "ab", buffering=0) as file:
            for _ in range((self._size - file.tell()) // _BLOCK):
                file.write(zeros)

    def free(self) -> None:
        """Let go of all."""
        self._place.unlink(missing_ok=True)


def is_tmpfs(path: Path) -> bool:
    """Whether a path lies in memory."""
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    holding = [mount for mount in mounts if path.resolve().is_relative_to(mount[1])]
    return max(holding, key=lambda mount: len(mount[1]))[2] == "tmpfs"
