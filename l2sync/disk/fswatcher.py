"""Hearing of changes by fanotify: of the whole file system, of which what is not beneath the root is dropped.

A mark on the file system costs the same for any number of directories, and new ones need no watching. Events name the
directory by a file handle; where it stands is asked when an event is worked in, and remembered. A directory that is not
ours and tells much is muted in the kernel, until something might have moved it into the tree.
"""

from __future__ import annotations

import os
import select
import struct
import termios
from collections.abc import Callable
from fcntl import ioctl
from pathlib import Path

from l2sync.modtree import PRIVATE, ROOT, InvalidPath, TreePath, join_path, tree_path

from . import fanotify
from .fanotify import Event, Fanotify
from .watcher import Touched, Watcher

_REMEMBERED = 1 << 16
"""Directories whose place is remembered; then all are forgotten, which costs a few system calls each."""
_NOISY = 16
"""Events of a directory elsewhere until it is muted."""
_AT_ONCE = 200
"""So many events are sooner worked in than handed to a thread."""
_A_READ = 2000
"""At least so many events are got by one read."""
_EVENT = 24
"""What FIONREAD counts for one, in bytes."""
_OPENS = fanotify.CREATE | fanotify.MODIFY
_MOVES = fanotify.MOVED_FROM | fanotify.MOVED_TO
_SELF = b"."


class FileSystemWatcher(Watcher):
    """One mark for all directories: what happens elsewhere on the file system is heard as well, and dropped."""

    way = "fanotify"
    queue_limit = "fs.fanotify.max_queued_events"

    def __init__(self, root: Path, ignored: Callable[[TreePath], bool] = lambda path: False) -> None:
        """Watches from now on. Raises OSError when the root cannot be had, or the kernel does not let us."""
        super().__init__(root, ignored)
        try:
            self._fanotify = Fanotify(self._beneath.fd)
        except OSError:
            super().close()
            raise
        self._either.register(self._fanotify.fd, select.EPOLLIN)
        self._places: dict[bytes, TreePath | int] = {}
        """By handle, where a directory stands; of one that is not ours, how many events it has told."""
        self._outdated = False
        """The patterns are others than when it was decided which directories are ours."""
        self._held: list[Event] = []
        """Read, and not worked in yet."""

    def watch(self, top: TreePath = ROOT) -> list[TreePath]:
        """Every directory is watched already."""
        return []

    def read_some(self) -> Touched | None:
        """As `read`, where it takes no time; None where much has happened, or directories must be looked into."""
        if any(fd == self._again for fd, _ in self._either.poll(0)) or self._waiting() > _AT_ONCE:
            return None
        self._held += self._fanotify.read()
        if any(_takes_long(event.mask) for event in self._held):
            return None
        return self.read()

    def read(self) -> Touched:
        """What has happened since the last call; empty when nothing has. Never waits for events."""
        try:
            # Not endlessly: others may fill the queue as fast as it is read.
            for _ in range(1 + self._waiting() // _A_READ):
                self._held += self._fanotify.read()
            return self._take_all()
        except OSError:
            # For lack of memory or descriptors a directory could not be asked for its place.
            return Touched(frozenset(), overflow=True)

    def close(self) -> None:
        """Stop watching."""
        super().close()
        self._fanotify.close()

    def _waiting(self) -> int:
        """How many events wait to be read."""
        raw: bytes = ioctl(self._fanotify.fd, termios.FIONREAD, bytes(4))
        return int(struct.unpack("i", raw)[0]) // _EVENT

    def _take_all(self) -> Touched:
        touched: set[TreePath] = set()
        writing: set[TreePath] = set()
        overflow = False
        held, self._held = self._held, []
        # After the events were read: what was dropped for the patterns before is found by the scan that told of them.
        if self._told_of_patterns():
            self._forget()
            self._outdated = False
        for event in held:
            if event.mask & fanotify.Q_OVERFLOW:
                overflow = True
                self._forget()
            else:
                self._take(event, touched, writing)
        return Touched(frozenset(touched), overflow, frozenset(writing))

    def _take(self, event: Event, touched: set[TreePath], writing: set[TreePath]) -> None:
        mask, handle, child = event
        directory = self._places.get(handle)
        if directory is None:
            directory = self._find(handle)
        if isinstance(directory, int):
            self._drop(handle, directory)
            return
        path = directory if child == _SELF else _child(directory, child)
        if path is None:
            return
        if mask & fanotify.ONDIR:
            if mask & _MOVES:
                # Whatever is below stands elsewhere now, and what has come may have been muted where it was.
                self._forget()
            if path == PRIVATE or self._ignored(path):
                return
            if mask & fanotify.MOVED_TO:
                touched.update(self._walk(path))
        elif mask & _OPENS and not mask & fanotify.CLOSE_WRITE:
            writing.add(path)
        elif mask & ~fanotify.ATTRIB:
            writing.discard(path)
        touched.add(path)

    def _find(self, handle: bytes) -> TreePath | int:
        """Where the directory stands; 0: not in the tree, or ignored, or gone. Raises OSError."""
        if len(self._places) >= _REMEMBERED:
            self._forget()
        try:
            fd = self._fanotify.open(handle)
        except OSError as error:
            if error.errno not in fanotify.NO_MORE:
                raise
            return 0  # its end is told by the directory that it was in
        try:
            path = self._place_of(fd)
        finally:
            os.close(fd)
        ours = path is not None and path != PRIVATE and not path.startswith(PRIVATE + b"/") and not self._ignored(path)
        self._places[handle] = place = path if path is not None and ours else 0
        return place

    def _place_of(self, fd: int) -> TreePath | None:
        top = os.readlink(b"/proc/self/fd/%d" % self._beneath.fd).rstrip(b"/") + b"/"
        here = fanotify.path_of(fd)
        if here + b"/" == top or here == top:
            return ROOT
        try:
            return tree_path(here[len(top) :]) if here.startswith(top) else None
        except InvalidPath:
            return None

    def _drop(self, handle: bytes, told: int) -> None:
        self._places[handle] = told + 1
        if (told + 1) % _NOISY == 0:  # again where the kernel, short of memory, has forgotten it
            try:
                self._mute(handle)
            except OSError:
                return  # gone meanwhile, or a kernel before 6.0: it is dropped here each time

    def _mute(self, handle: bytes) -> None:
        fd = self._fanotify.open(handle)
        try:
            with self._closing:
                if not self._outdated:
                    self._fanotify.ignore(fd)
        finally:
            os.close(fd)

    def _patterns_changed(self) -> None:
        """All is heard again at once, before the scan that told of this looks: called in the thread that scans."""
        with self._closing:
            if not self._closed:
                self._outdated = True
                self._fanotify.heed_all()
        super()._patterns_changed()

    def _forget(self) -> None:
        """Ask each directory anew for its place, and hear of all again."""
        self._places.clear()
        self._fanotify.heed_all()


def _child(directory: TreePath, name: bytes) -> TreePath | None:
    try:
        return join_path(directory, name)
    except InvalidPath:
        return None


def _takes_long(mask: int) -> bool:
    return bool(mask & fanotify.Q_OVERFLOW or (mask & fanotify.ONDIR and mask & _MOVES))
