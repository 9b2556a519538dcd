"""The directories that a commit writes in: they keep their times, and are durable before the index says so."""

from __future__ import annotations

import os
from collections.abc import Callable, Container, Mapping

from l2sync.modtree import TreePath

from .beneath import NOT_THERE, Beneath, Directories
from .index import Row
from .look import signature, signed_mtime, without_ctime

_FEW = 4
"""Up to so many directories are made durable one by one; beyond, the whole file system at once is faster."""


class WrittenDirectories:
    """Notes each directory as it is entered, with the time to be given back (None: leave it)."""

    def __init__(
        self,
        beneath: Beneath,
        directories: Directories,
        rows: Mapping[TreePath, Row],
        note: Callable[[OSError], object],
    ) -> None:
        self._beneath = beneath
        self._directories = directories
        self._rows = rows
        self._note = note
        self._times: dict[TreePath, int | None] = {}
        self.beyond = False
        """Whether more than names must become durable: files' attributes, or what a user made and nobody synced."""

    def enter(self, path: TreePath) -> int:
        """The directory, open, with the time noted that it is to have afterwards. Raises OSError."""
        directory = self._directories.get(path)
        if path not in self._times:
            row = self._rows.get(path)
            now = without_ctime(signature(os.fstat(directory)))  # other files that came and went count for nothing
            known = row is not None and row.alive and without_ctime(row.signature) == now
            self._times[path] = signed_mtime(row.signature) if row is not None and known else None
        return directory

    def note(self, path: TreePath) -> None:
        """A directory was given its own attributes."""
        self._times.setdefault(path, None)

    def restore(self, finished: Container[TreePath]) -> None:
        """A file's replacement must not show in the time of its directory, unless the batch says so (``finished``)."""
        for path, mtime in self._times.items():
            if mtime is None or path in finished:
                continue
            try:
                os.utime(self._directories.get(path), ns=(mtime, mtime))
            except OSError as error:
                self._note(error)

    def sync(self) -> None:
        """Make it all durable: else a power loss would read as the user's going back. Raises OSError."""
        if self.beyond or len(self._times) > _FEW:
            self._beneath.sync()
            return
        for path in self._times:
            try:
                os.fsync(self._directories.get(path))
            except OSError as error:
                if error.errno not in NOT_THERE:
                    raise
