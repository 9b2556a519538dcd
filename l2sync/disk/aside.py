"""Setting things aside: out of the tree, where people find them, with nothing lost."""

from __future__ import annotations

import os
from collections.abc import Iterable
from datetime import UTC, datetime

from l2sync.modtree import PRIVATE, TreePath, ancestors, parent
from l2sync.modtree import name as last_name

from .beneath import DIRECTORY, NOT_THERE, Beneath, System, rename_beneath, sync_file_system

ASIDE = PRIVATE + b"/aside"
_KEEP = 1
"""RENAME_NOREPLACE."""


def set_aside(beneath: Beneath, paths: Iterable[TreePath]) -> list[bytes]:
    """Move what stands at these paths, and all that is in it, below a new directory; its path beneath the root.

    Of each file system that something is on, one directory. Raises OSError.
    """
    parts: dict[TreePath, tuple[System, list[TreePath]]] = {}
    for path in paths:
        if not beneath.closed(path):
            system, rest = beneath.place(path)
            parts.setdefault(system.top, (system, []))[1].append(TreePath(rest))
    return [(top + b"/" if top else b"") + _set_aside(*part) for top, part in parts.items()]


def _set_aside(beneath: System, paths: Iterable[TreePath]) -> bytes:
    place = _new_place(beneath)
    wanted = {path for path in paths if path}
    for path in sorted(path for path in wanted if wanted.isdisjoint(ancestors(path))):
        target = place + b"/" + parent(path) if parent(path) else place
        _make(beneath, target)
        try:
            with _Opened(beneath, parent(path)) as above, _Opened(beneath, target) as new:
                rename_beneath(last_name(path), above.fd, last_name(path), new.fd, _KEEP)
        except OSError as error:
            if error.errno not in NOT_THERE:
                raise
    sync_file_system(beneath.fd)
    return place


class _Opened:
    """A directory held open for a moment."""

    def __init__(self, beneath: System, path: bytes) -> None:
        self.fd = beneath.open(path, DIRECTORY)

    def __enter__(self) -> _Opened:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.fd)


def _new_place(beneath: System) -> bytes:
    _make(beneath, ASIDE)
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    number = 0
    while True:
        name = (stamp + (f"-{number}" if number else "")).encode()
        with _Opened(beneath, ASIDE) as above:
            try:
                os.mkdir(name, 0o700, dir_fd=above.fd)
            except FileExistsError:
                number += 1
                continue
        return ASIDE + b"/" + name


def _make(beneath: System, path: bytes) -> None:
    """A directory and all above it."""
    missing = []
    for step in (TreePath(path), *ancestors(TreePath(path))):
        try:
            os.close(beneath.open(step, DIRECTORY))
            break
        except FileNotFoundError:
            missing.append(step)
    for step in reversed(missing):
        with _Opened(beneath, parent(step)) as above:
            os.mkdir(last_name(step), 0o700, dir_fd=above.fd)
