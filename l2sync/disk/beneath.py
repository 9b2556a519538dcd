"""Opening paths beneath a tree's root: never through a symbolic link, never out of the tree or its file system."""

from __future__ import annotations

import ctypes
import errno
import os
import stat
from collections import OrderedDict
from pathlib import Path

from l2sync.modtree import PRIVATE, ROOT, TreePath, ancestors, split_path

from .moments import tells_every_change
from .times import Times
from .xattrs import Xattrs

_OPENAT2 = 437
_RESOLVE_NO_XDEV = 0x01
_RESOLVE_NO_SYMLINKS = 0x04
_RESOLVE_BENEATH = 0x08
_RESOLVE = _RESOLVE_NO_SYMLINKS | _RESOLVE_BENEATH
_LONGEST = 4000
"""The kernel takes no path of 4096 bytes or more in one call; longer ones are walked in steps."""
_OPEN_DIRECTORIES = 128

RENAME_NOREPLACE = 1
RENAME_EXCHANGE = 2

DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
NOT_THERE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)
"""What opening a directory says when no such directory stands there (ELOOP: a link stands in the way)."""

_libc = ctypes.CDLL(None, use_errno=True)


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


def open_beneath(directory: int, path: bytes, flags: int, mode: int = 0, crossing: bool = False) -> int:
    """``openat2`` that stays beneath ``directory``, and in its file system unless it is ``crossing``.

    Raises OSError: ELOOP at a link, EXDEV at another file system.
    """
    while len(path) > _LONGEST:
        cut = path.rfind(b"/", 0, _LONGEST)
        step = open_beneath(directory, path[:cut], os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC, 0, crossing)
        try:
            return open_beneath(step, path[cut + 1 :], flags, mode, crossing)
        finally:
            os.close(step)
    how = _OpenHow(flags | os.O_CLOEXEC, mode, _RESOLVE if crossing else _RESOLVE | _RESOLVE_NO_XDEV)
    while True:
        fd = int(_libc.syscall(_OPENAT2, directory, path or b".", ctypes.byref(how), ctypes.sizeof(how)))
        if fd >= 0:
            return fd
        code = ctypes.get_errno()
        if code not in (errno.EAGAIN, errno.EINTR):
            raise OSError(code, os.strerror(code), os.fsdecode(path))


def rename_beneath(old: bytes, old_directory: int, new: bytes, new_directory: int, flags: int) -> None:
    """``renameat2`` of one directory's child to another's. Raises OSError."""
    if _libc.renameat2(old_directory, old, new_directory, new, flags) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), os.fsdecode(new))


def sync_file_system(fd: int) -> None:
    """Make durable all that was written to the file system that ``fd`` is on. Raises OSError."""
    if _libc.syncfs(fd) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


class System:
    """One file system that a tree lies on: the root's, or one that is mounted at ``top`` and belongs to the tree.

    It has a private directory of its own, at its top.
    """

    def __init__(self, top: TreePath, fd: int) -> None:
        self.top = top
        self.fd = fd
        self.device = os.fstat(fd).st_dev
        self._xattrs: Xattrs | None = None
        self.times = Times(lambda: self.open(PRIVATE, DIRECTORY))
        self._fine_times: bool | None = None

    @property
    def xattrs(self) -> Xattrs:
        """What of extended attributes is kept here; tried out on the private directory once. Raises OSError."""
        if self._xattrs is None:
            directory = self.open(PRIVATE, DIRECTORY)
            try:
                self._xattrs = Xattrs.probe(directory)
            finally:
                os.close(directory)
        return self._xattrs

    @property
    def fine_times(self) -> bool:
        """Whether a change after a look always shows in a file's times; tried out once. Raises OSError."""
        if self._fine_times is None:
            directory = self.open(PRIVATE, DIRECTORY)
            try:
                self._fine_times = tells_every_change(directory)
            finally:
                os.close(directory)
        return self._fine_times

    @property
    def nested(self) -> bool:
        """Whether it is mounted within the tree."""
        return self.top != ROOT

    def open(self, path: bytes, flags: int, mode: int = 0) -> int:
        """A file descriptor of what stands at ``path`` beneath its top. Raises OSError."""
        return open_beneath(self.fd, path, flags, mode)

    def close(self) -> None:
        """Let go of it; whoever still holds this object is refused (EBADF)."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)


class Beneath:
    """A tree's root directory, held open; every access to the tree starts here."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.home = System(ROOT, os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
        """The root's own file system."""
        self.identity = (self.home.device, os.fstat(self.home.fd).st_ino)
        self._tops: dict[TreePath, System] = {}
        self._closed: dict[TreePath, str] = {}
        self._above: frozenset[TreePath] = frozenset()

    @property
    def fd(self) -> int:
        """The root, open."""
        return self.home.fd

    @property
    def systems(self) -> list[System]:
        """The file systems that belong to the tree, the root's first."""
        return [self.home, *self._tops.values()]

    def attach(self, tops: dict[TreePath, System], closed: dict[TreePath, str]) -> None:
        """What is mounted within the tree: ``tops`` belong to it, of ``closed`` places nothing can be said (why)."""
        self._tops, self._closed = tops, closed
        self._above = frozenset(above for path in closed for above in ancestors(path))

    @property
    def plain(self) -> bool:
        """Whether nothing is mounted within the tree, or ever was."""
        return not self._tops and not self._closed

    def place(self, path: bytes) -> tuple[System, bytes]:
        """The file system that ``path`` is on, and the path beneath its top.

        Raises OSError, EXDEV where that does not belong to the tree, EACCES in its private directory.
        """
        if self.plain:
            return self.home, path
        for top in (TreePath(path), *ancestors(TreePath(path))):
            if (why := self._closed.get(top)) is not None:
                raise OSError(errno.EXDEV, why, os.fsdecode(path))
            if (system := self._tops.get(top)) is not None:
                rest = path[len(top) + 1 :]
                if rest == PRIVATE or rest.startswith(PRIVATE + b"/"):
                    raise OSError(errno.EACCES, "the agent's own directory on a mounted file system", os.fsdecode(path))
                return system, rest
        return self.home, path

    def system(self, path: bytes) -> System:
        """The file system that ``path`` is on. Raises OSError as `place` does."""
        return self.place(path)[0]

    def top_status(self, path: TreePath) -> os.stat_result | None:
        """How the file system looks at its top that is mounted at ``path``, if one is. Raises OSError (`place`)."""
        system, rest = self.place(path)
        return None if rest else os.fstat(system.fd)

    def out_of_sight(self, path: TreePath) -> bool:
        """Whether ``path`` cannot be told to be gone: nothing can be said of it, or of something that is below it."""
        return path in self._above or self.closed(path)

    def holds_closed(self, path: TreePath) -> bool:
        """Whether there is a place below ``path`` of which nothing can be said."""
        return path in self._above

    def closed(self, path: TreePath) -> bool:
        """Whether nothing can be said of ``path``, by what is mounted there or was."""
        return bool(self._closed) and any(place in self._closed for place in (path, *ancestors(path)))

    def open(self, path: bytes, flags: int, mode: int = 0) -> int:
        """A file descriptor of what stands at ``path``. Raises OSError."""
        system, rest = self.place(path)
        return system.open(rest, flags, mode)

    def sync(self) -> None:
        """Make durable all that was written to the tree's file systems. Raises OSError."""
        for system in self.systems:
            sync_file_system(system.fd)

    def close(self) -> None:
        """Let go of the root; whoever still holds this object is refused (EBADF)."""
        self.home.close()


class Directories:
    """Directories kept open during one operation, so that a file costs no walk from the root.

    They are to be closed soon: a directory that somebody moves away stays reachable by its descriptor.
    """

    def __init__(self, beneath: Beneath) -> None:
        self._beneath = beneath
        self._open: OrderedDict[bytes, int] = OrderedDict()

    def __enter__(self) -> Directories:
        return self

    def __exit__(self, *_: object) -> None:
        while self._open:
            os.close(self._open.popitem()[1])

    def system(self, path: TreePath) -> System:
        """The file system that ``path`` is on. Raises OSError."""
        return self._beneath.system(path)

    def get(self, path: TreePath) -> int:
        """A descriptor of the directory at ``path``, good until the next few calls. Raises OSError."""
        if path == ROOT:
            return self._beneath.fd
        fd = self._open.get(path)
        if fd is None:
            if len(self._open) >= _OPEN_DIRECTORIES:
                os.close(self._open.popitem(last=False)[1])
            fd = self._open[path] = self._beneath.open(path, DIRECTORY)
        return fd

    def forget(self, path: TreePath) -> None:
        """The directory at ``path`` is gone, or another one."""
        below = path + b"/"
        for known in [one for one in self._open if one == path or one.startswith(below)]:
            os.close(self._open.pop(known))

    def stat(self, path: TreePath) -> os.stat_result | None:
        """What stands at ``path``, links not followed; None if nothing does. Raises OSError for other troubles."""
        try:
            if (not path or not self._beneath.plain) and (status := self._beneath.top_status(path)) is not None:
                return status
            above, child = split_path(path)
            return os.stat(child, dir_fd=self.get(above), follow_symlinks=False)
        except OSError as error:
            if error.errno in NOT_THERE:
                return None
            raise


def is_regular(status: os.stat_result) -> bool:
    """Whether it is a plain file."""
    return stat.S_ISREG(status.st_mode)
