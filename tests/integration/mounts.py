"""Real file systems of several kinds, small and short-lived."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

MB = 1 << 20
KINDS = {"ext4": 160, "xfs": 320, "btrfs": 240, "tmpfs": 160}
"""Kinds of file systems, and how many MB one gets."""
_MAKE = {"ext4": ["mkfs.ext4", "-q", "-m", "0"], "xfs": ["mkfs.xfs", "-q"], "btrfs": ["mkfs.btrfs", "-q"]}


@contextlib.contextmanager
def mounted(kind: str, where: Path, image: Path, megabytes: int) -> Iterator[Path]:
    """A fresh file system of this kind at ``where``; gone at the end. Raises subprocess.CalledProcessError."""
    where.mkdir(parents=True, exist_ok=True)
    if kind == "tmpfs":
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "none", where], check=True)
    else:
        with open(image, "wb") as file:
            file.truncate(megabytes * MB)
        subprocess.run([*_MAKE[kind], image], check=True, capture_output=True)
        subprocess.run(["mount", "-o", "loop", image, where], check=True)
    try:
        yield where
    finally:
        while os.path.ismount(where):
            subprocess.run(["umount", "-l", where], check=True)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(image)


def fill(tree: Path, left: int) -> Path:
    """Put a file beside the tree that leaves so many bytes of its file system; its path."""
    ballast = tree.parent / "ballast"
    with contextlib.suppress(OSError), open(ballast, "wb", buffering=0) as file:
        while (free := shutil.disk_usage(tree).free) > left:
            file.write(bytes(min(MB, max(4096, free - left))))
    return ballast
