"""Where a soak takes place: nodes whose trees lie on different real file systems, small enough to be filled."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.integration.mounts import KINDS, mounted


@contextlib.contextmanager
def field(nodes: int) -> Iterator[tuple[Path, list[Path]]]:
    """A place in memory, and in it a tree's directory for each node, each on a file system of another kind."""
    place = Path(tempfile.mkdtemp(prefix="l2s-soak-", dir="/dev/shm"))
    try:
        with contextlib.ExitStack() as stack:
            disks = []
            for number, kind in zip(range(nodes), list(KINDS) * nodes, strict=False):
                where, image = place / f"disk{number}", place / f"image{number}"
                disks.append(stack.enter_context(mounted(kind, where, image, KINDS[kind])))
                (where / "tree").mkdir()
            yield place, [disk / "tree" for disk in disks]
    finally:
        shutil.rmtree(place, ignore_errors=True)
