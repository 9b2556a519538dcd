"""The kernel's fanotify, as far as a watcher of a file system needs it: see fanotify(7) and open_by_handle_at(2).

By `ctypes`, since no library gives file handles: pyfanotify reports open descriptors, and runs a process of its own.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import struct
from collections.abc import Iterator
from typing import NamedTuple

MODIFY = 0x2
ATTRIB = 0x4
CLOSE_WRITE = 0x8
MOVED_FROM = 0x40
MOVED_TO = 0x80
CREATE = 0x100
DELETE = 0x200
Q_OVERFLOW = 0x4000
ONDIR = 0x40000000
_ON_CHILD = 0x08000000
_CHANGES = MODIFY | ATTRIB | CLOSE_WRITE | MOVED_FROM | MOVED_TO | CREATE | DELETE | ONDIR

_CLOEXEC_NONBLOCK = 0x1 | 0x2
_REPORT_DFID_NAME = 0x400 | 0x800
_ADD = 0x1
_FLUSH = 0x80
_FILE_SYSTEM = 0x100
_IGNORE_EVICTABLE = 0x400 | 0x40 | 0x200
"""FAN_MARK_IGNORE, surviving modifications; evictable: it does not keep the directory in memory."""

_METADATA = struct.Struct("=IBxHQii")
_INFO = struct.Struct("=BxH8xI")
_DFID_NAME = 2
_HANDLE_AT = 12
"""Where in a record of information the file handle begins: its length, type and bytes."""
_AT_EMPTY_PATH = 0x1000
_MAX_HANDLE = 128
_READ = 1 << 18

NO_MORE = errno.ESTALE, errno.ENOENT, errno.ENOTDIR
"""What opening a handle says when the directory is gone."""

_libc = ctypes.CDLL(None, use_errno=True)


class Event(NamedTuple):
    """``mask``: what happened, to the child ``name`` ("." the directory itself) of the directory of this handle."""

    mask: int
    handle: bytes
    name: bytes


class Fanotify:
    """Hears of every change on one file system. Methods raise OSError."""

    def __init__(self, root: int) -> None:
        """Watch the file system that the directory ``root`` is on. Raises OSError where the kernel does not let us."""
        self._root = root
        self.fd = _checked(
            _libc.fanotify_init(
                ctypes.c_uint(_CLOEXEC_NONBLOCK | _REPORT_DFID_NAME), ctypes.c_uint(os.O_RDONLY | os.O_CLOEXEC)
            )
        )
        try:
            self._mark(_ADD | _FILE_SYSTEM, _CHANGES, root)
            os.close(self.open(handle_of(root)))  # that events name directories which can be opened is found out now
        except OSError:
            os.close(self.fd)
            raise

    def read(self) -> Iterator[Event]:
        """What has happened, as far as one read holds it; nothing when nothing has."""
        with contextlib.suppress(BlockingIOError):
            yield from _events(os.read(self.fd, _READ))

    def open(self, handle: bytes) -> int:
        """A descriptor, good for its place alone (O_PATH), of the directory of this handle. Raises OSError: ESTALE."""
        raw = ctypes.create_string_buffer(handle, len(handle))
        flags = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
        return _checked(_libc.open_by_handle_at(self._root, raw, flags))

    def ignore(self, directory: int) -> None:
        """Hear no more of a directory's children, those that are directories excepted, until `heed_all`."""
        # Those: one of them may be the root of the tree, whose attributes are told as a child's.
        self._mark(_ADD | _IGNORE_EVICTABLE, _CHANGES & ~ONDIR | _ON_CHILD, directory)

    def heed_all(self) -> None:
        """Take back every `ignore`."""
        self._mark(_FLUSH, 0, self._root)

    def close(self) -> None:
        """Hear no more."""
        os.close(self.fd)

    def _mark(self, flags: int, mask: int, directory: int) -> None:
        _checked(
            _libc.fanotify_mark(self.fd, ctypes.c_uint(flags), ctypes.c_uint64(mask), directory, ctypes.c_char_p(b"."))
        )


def handle_of(directory: int) -> bytes:
    """An open directory's file handle: its length, type and bytes. Raises OSError where the file system has none."""
    raw = ctypes.create_string_buffer(struct.pack("=Ii", _MAX_HANDLE, 0), 8 + _MAX_HANDLE)
    mount = ctypes.c_int()
    _checked(_libc.name_to_handle_at(directory, b"", raw, ctypes.byref(mount), _AT_EMPTY_PATH))
    return raw.raw[: 8 + struct.unpack_from("=I", raw)[0]]


def path_of(directory: int) -> bytes:
    """Where an open directory stands, from its mount's top; the kernel tells in one go what has up to 4095 bytes."""
    try:
        return os.readlink(b"/proc/self/fd/%d" % directory)
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
    above = os.open(b"..", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=directory)
    try:
        wanted = os.fstat(directory).st_ino
        with os.scandir(above) as listing:
            names = [os.fsencode(item.name) for item in listing if item.inode() == wanted]
        return path_of(above) + b"/" + (names[0] if names else b"")
    finally:
        os.close(above)


def _events(raw: bytes) -> Iterator[Event]:
    at = 0
    while at < len(raw):
        length, _, skip, mask, _, _ = _METADATA.unpack_from(raw, at)
        if mask & Q_OVERFLOW:
            yield Event(mask, b"", b"")
        info = at + skip
        at += length
        while info < at:
            kind, size, handle_bytes = _INFO.unpack_from(raw, info)
            if kind == _DFID_NAME:
                end = info + _HANDLE_AT + 8 + handle_bytes
                yield Event(mask, raw[info + _HANDLE_AT : end], raw[end : raw.index(b"\0", end)])
            info += size


def _checked(result: int) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code or errno.EIO, os.strerror(code or errno.EIO))
    return result
