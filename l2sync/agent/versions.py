"""Kept versions, as the office tells of them and brings them back."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from l2sync.modtree import TreePath

from .desk import Desk
from .protocol import KeptVersion, Restored


def kept_versions(
    desks: Mapping[str, Desk], roots: Mapping[str, Path], place: tuple[str, TreePath] | None
) -> list[KeptVersion]:
    """All kept versions (of one path, and of what was below it), oldest first. In any thread. Raises OSError."""
    found = []
    for tree, desk in desks.items():
        if place is None or place[0] == tree:
            for kept in desk.store.versions(place[1] if place is not None else None):
                kind, name = kept.kind.name.lower(), os.fsdecode(kept.id)
                where = tree, str(roots[tree]), kept.path.decode(errors="backslashreplace"), kept.path
                found.append(KeptVersion(*where, name, kind, kept.size, kept.mtime_ns, kept.kept_ns))
    return sorted(found, key=lambda one: one.kept_ns)


async def bring_back(desk: Desk, root: Path, path: TreePath, version: str | None) -> Restored:
    """Bring back a kept version. Raises CannotRestore, Paused, OSError."""
    name = None if version is None else os.fsencode(version)
    paths, failed = await desk.worker.run(lambda: desk.store.restore(path, name))
    return Restored(desk.name, str(root), tuple(paths), tuple(failed.items()))
