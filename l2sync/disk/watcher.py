"""Hearing of changes as they happen: what all ways of it have in common, and the choice between them."""

from __future__ import annotations

import errno
import os
import select
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from l2sync.modtree import PRIVATE, ROOT, TreePath

from .beneath import DIRECTORY, Beneath
from .ignore import IgnoredDirectories
from .mounts import View

GONE = errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EXDEV, errno.EACCES
FEW = 4096
"""Bytes of events that are sooner worked in than handed to a thread."""


@dataclass(frozen=True, slots=True)
class Touched:
    """Paths to look at; after an ``overflow`` events are lost, and the whole tree is to be looked at.

    ``open``: those of them that somebody is still writing, as far as events tell.
    """

    paths: frozenset[TreePath]
    overflow: bool = False
    open: frozenset[TreePath] = frozenset()


class Watcher(ABC):
    """Watches every directory of a tree. ``fileno`` is readable when there is something to `read`."""

    way: ClassVar[str]
    """What of the kernel's is used, as users know it."""
    queue_limit: ClassVar[str]
    """The sysctl that says how many events the kernel keeps."""

    def __init__(
        self,
        root: Path,
        ignored: Callable[[TreePath], bool] = lambda path: False,
        mounts: Callable[[], View] = View,
    ) -> None:
        """Nothing is watched before `watch`. Raises OSError when the root cannot be had.

        ``mounts``: what is mounted within the tree, as it was last found.
        """
        self._beneath = Beneath(root)
        self._mounts = mounts
        self._ignored = ignored
        self._again = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._either = select.epoll()
        self._either.register(self._again, select.EPOLLIN)
        self._closing = threading.Lock()
        self._closed = False
        if isinstance(ignored, IgnoredDirectories):
            ignored.listen(self._patterns_changed)
        self.exhausted = False
        """The kernel gives no more watches: changes below some directories go unheard, and only scans find them."""
        self.outgrown = False
        """There are more directories than this way of watching is good for."""

    @property
    def warning(self) -> str | None:
        """What an administrator can do about exhaustion."""
        return None

    def fileno(self) -> int:
        """For the event loop to wait on."""
        return self._either.fileno()

    @abstractmethod
    def watch(self, top: TreePath = ROOT) -> list[TreePath]:
        """Watch a directory and all below it; returns the directories to look at. Raises OSError."""

    @abstractmethod
    def read_some(self) -> Touched | None:
        """As `read`, where it takes no time; None where much has happened, or directories must be looked into."""

    @abstractmethod
    def read(self) -> Touched:
        """What has happened since the last call; empty when nothing has. Never waits for events."""

    def close(self) -> None:
        """Stop watching."""
        if isinstance(self._ignored, IgnoredDirectories):
            self._ignored.unlisten(self._patterns_changed)
        with self._closing:
            self._closed = True
            self._either.close()
            os.close(self._again)
        self._beneath.close()

    def _patterns_changed(self) -> None:
        """Other directories are ignored now. Called in the thread that scans: only makes `fileno` readable."""
        with self._closing:
            if not self._closed:
                os.eventfd_write(self._again, 1)

    def _told_of_patterns(self) -> bool:
        try:
            return os.eventfd_read(self._again) > 0
        except BlockingIOError:
            return False

    def _directories_in(self, path: TreePath, fd: int) -> list[TreePath]:
        prefix = path + b"/" if path else b""
        with os.scandir(fd) as listing:
            children = [os.fsencode(item.name) for item in listing if item.is_dir(follow_symlinks=False)]
        return [
            child
            for child in (TreePath(prefix + one) for one in children)
            if child != PRIVATE and not self._ignored(child)
        ]

    def _walk(self, top: TreePath) -> list[TreePath]:
        """The directories from ``top`` on downwards, as far as they can be listed."""
        found, waiting = [], [top]
        while waiting:
            path = waiting.pop()
            try:
                fd = self._beneath.open(path, DIRECTORY)
                try:
                    waiting += self._directories_in(path, fd)
                finally:
                    os.close(fd)
            except OSError as error:
                if error.errno not in GONE:
                    raise
                continue
            found.append(path)
        return found
