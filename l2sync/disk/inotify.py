"""Hearing of changes by inotify: a watch for each directory."""

from __future__ import annotations

import errno
import os
import select
import struct
import termios
from collections.abc import Callable
from fcntl import ioctl
from itertools import chain
from pathlib import Path

from inotify_simple import Event, INotify, flags

from l2sync.modtree import ROOT, InvalidPath, TreePath, join_path

from .beneath import DIRECTORY
from .mounts import View, entered
from .watcher import FEW, GONE, Touched, Watcher

_MASK = (
    flags.CLOSE_WRITE
    | flags.MODIFY
    | flags.ATTRIB
    | flags.CREATE
    | flags.DELETE
    | flags.DELETE_SELF
    | flags.MOVED_FROM
    | flags.MOVED_TO
    | flags.ONLYDIR
)
_ENTERS = flags.CREATE | flags.MOVED_TO
_OPENS = flags.CREATE | flags.MODIFY


class InotifyWatcher(Watcher):
    """One watch for each directory: what happens elsewhere costs nothing, each directory memory and a system call."""

    way = "inotify"
    queue_limit = "fs.inotify.max_queued_events"

    def __init__(
        self,
        root: Path,
        ignored: Callable[[TreePath], bool] = lambda path: False,
        many: int | None = None,
        mounts: Callable[[], View] = View,
    ) -> None:
        """``many``: with more directories than this it gives up, and says to be ``outgrown``. Raises OSError."""
        super().__init__(root, ignored, mounts)
        self.many = many
        try:
            self._inotify = INotify(nonblocking=True)
        except OSError:
            super().close()
            raise
        self._either.register(self._inotify.fileno(), select.EPOLLIN)
        self._held: list[Event] = []
        """Read, and not worked in yet."""
        self._paths: dict[int, TreePath] = {}
        self._numbers: dict[TreePath, int] = {}

    @property
    def warning(self) -> str | None:
        """What an administrator can do about exhaustion."""
        if not self.exhausted:
            return None
        return (
            f"only {len(self._paths)} directories are watched, the rest is found by scans: "
            "raise fs.inotify.max_user_watches (sysctl)"
        )

    @property
    def watched(self) -> int:
        """So many directories are watched."""
        return len(self._paths)

    def watch(self, top: TreePath = ROOT) -> list[TreePath]:
        """Watch a directory and all below it; returns the directories that are newly watched."""
        with entered(self._beneath, self._mounts()):
            return self._watch(top)

    def _watch(self, top: TreePath) -> list[TreePath]:
        fresh = []
        waiting = [top]
        if top == ROOT:
            self.exhausted = False
        while waiting and not self.outgrown:
            path = waiting.pop()
            try:
                fd = self._beneath.open(path, DIRECTORY)
            except OSError:
                continue
            try:
                if self._add(path, fd):
                    fresh.append(path)
                waiting += self._directories_in(path, fd)
            except OSError as error:
                if error.errno == errno.ENOSPC:
                    self.exhausted = True
                    self.outgrown = self.many is not None
                    break
                if error.errno not in GONE:
                    raise
            finally:
                os.close(fd)
        return fresh

    def read_some(self) -> Touched | None:
        """As `read`, where it takes no time; None where much has happened, or directories must be looked into."""
        if any(fd == self._again for fd, _ in self._either.poll(0)) or _waiting(self._inotify.fileno()) > FEW:
            return None
        self._held += self._inotify.read(timeout=0)
        if any(_takes_long(event.mask) for event in self._held):
            return None
        return self.read()

    def read(self) -> Touched:
        """What has happened since the last call; empty when nothing has. Never waits for events."""
        touched: set[TreePath] = set()
        writing: set[TreePath] = set()
        overflow = False
        try:
            if self._told_of_patterns():
                touched.update(self._watch_anew())
            held, self._held = self._held, []
            for event in chain(held, self._inotify.read(timeout=0)):
                overflow |= self._take(event, touched, writing)
            if overflow:
                self.watch()
        except OSError:
            # A directory could not be watched for lack of memory or descriptors: what was read is not to be lost.
            overflow = True
        return Touched(frozenset(touched), overflow, frozenset(writing))

    def close(self) -> None:
        """Stop watching."""
        super().close()
        self._inotify.close()

    def _take(self, event: Event, touched: set[TreePath], writing: set[TreePath]) -> bool:
        """Work in one event; True when it says that others were lost."""
        if event.mask & flags.Q_OVERFLOW:
            return True
        if event.mask & (flags.IGNORED | flags.DELETE_SELF):
            self._ended(event.wd)
            return False
        path = self._path_of(event.wd, event.name)
        if path is not None:
            touched.add(path)
            if event.mask & flags.ISDIR:
                self._directory_moved(path, event.mask, touched)
            elif event.mask & _OPENS:
                writing.add(path)
            elif not event.mask & flags.ATTRIB:
                writing.discard(path)
        return False

    def _watch_anew(self) -> list[TreePath]:
        for path in [path for path in self._numbers if path != ROOT and self._ignored(path)]:
            if path in self._numbers:
                self._forget(path)
        return self.watch()

    def _directory_moved(self, path: TreePath, mask: int, touched: set[TreePath]) -> None:
        if mask & flags.MOVED_FROM:
            self._forget(path)  # one deleted ends its watch by itself
        if mask & (_ENTERS | flags.MOVED_FROM) and not self._ignored(path):
            # What was made in it before it was watched has made no event: all of it is looked at. Where one has left,
            # another may stand already: of an exchange, each name is told to be left after it was taken.
            touched.update(self.watch(path))

    def _add(self, path: TreePath, fd: int) -> bool:
        number = int(self._inotify.add_watch(b"/proc/self/fd/%d" % fd, _MASK))
        known = self._paths.get(number)
        if known == path:
            return False
        if known is not None and self._numbers.get(known) == number:
            del self._numbers[known]
        self._paths[number] = path
        self._numbers[path] = number
        self.outgrown |= self.many is not None and len(self._paths) > self.many
        return True

    def _path_of(self, number: int, child: str) -> TreePath | None:
        directory = self._paths.get(number)
        if directory is None:
            return None
        raw = os.fsencode(child)
        if not raw:
            return directory
        try:
            return join_path(directory, raw)
        except InvalidPath:
            return None

    def _forget(self, top: TreePath) -> None:
        """A directory has left its place: its watches would tell of paths that are no longer theirs."""
        below = top + b"/"
        for path in [one for one in self._numbers if one == top or one.startswith(below)]:
            number = self._numbers.pop(path)
            self._paths.pop(number, None)
            try:
                self._inotify.rm_watch(number)
            except OSError:
                continue

    def _ended(self, number: int) -> None:
        path = self._paths.pop(number, None)
        if path is not None and self._numbers.get(path) == number:
            del self._numbers[path]


def _waiting(fd: int) -> int:
    """Bytes of events that wait to be read."""
    return int(struct.unpack("i", ioctl(fd, termios.FIONREAD, bytes(4)))[0])


def _takes_long(mask: int) -> bool:
    return bool(mask & flags.Q_OVERFLOW or (mask & flags.ISDIR and mask & (_ENTERS | flags.MOVED_FROM)))
