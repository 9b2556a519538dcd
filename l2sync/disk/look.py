"""What a stat call tells of a path: its kind, its signature, whether it looks like an entry."""

from __future__ import annotations

import os
import stat
import struct

from l2sync.modtree import Entry, Kind, Observation, TreePath

from .times import Times
from .xattrs import Attributes, Xattrs

_SIGNATURE = struct.Struct(">QQqIqIIII")
_CTIME = slice(28, 40)
_SECOND = 1_000_000_000
_KINDS = {
    stat.S_IFREG: Kind.FILE,
    stat.S_IFDIR: Kind.DIR,
    stat.S_IFLNK: Kind.LINK,
    stat.S_IFIFO: Kind.FIFO,
    stat.S_IFCHR: Kind.CHAR,
    stat.S_IFBLK: Kind.BLOCK,
}
_TYPE_BITS = tuple(next((bits for bits, one in _KINDS.items() if one is kind), 0) for kind in Kind)
"""By kind, what the type bits of a mode are; a number, as hashing a member of an enumeration takes long."""
DEVICES = (Kind.CHAR, Kind.BLOCK)
SPECIAL = (*DEVICES, Kind.FIFO)
"""Kept in sync where a tree's options say so. A socket never is: it is nothing without the process that made it."""


def kind_of(status: os.stat_result, special: bool = True) -> Kind | None:
    """The kind of what was looked at; None for sockets, and for FIFOs and devices too unless they are wanted."""
    kind = _KINDS.get(stat.S_IFMT(status.st_mode))
    return None if kind in SPECIAL and not special else kind


def signature(status: os.stat_result) -> bytes:
    """Bytes that change whenever the file does: inode, size, mtime, ctime, mode, owner.

    The device is left out, since its number changes from boot to boot. A directory's signature holds only what its
    entry is about: its attributes, with the ctime, as nothing else tells of extended ones.
    """
    directory = stat.S_ISDIR(status.st_mode)
    return _SIGNATURE.pack(
        0 if directory else status.st_ino,
        0 if directory else status.st_size,
        *divmod(status.st_mtime_ns, _SECOND),  # in ns alone, sixty-four bits end in 2262
        *divmod(status.st_ctime_ns, _SECOND),
        status.st_mode,
        status.st_uid,
        status.st_gid,
    )


def without_ctime(signed: bytes) -> bytes:
    """A signature that making or removing another hard link does not change."""
    return signed[: _CTIME.start] + signed[_CTIME.stop :]


def signed_mtime(signed: bytes) -> int:
    """The modification time in a signature, in ns."""
    seconds, ns = _SIGNATURE.unpack(signed)[2:4]
    return int(seconds) * _SECOND + int(ns)


def same_attributes(entry: Observation, status: os.stat_result, times: Times) -> bool:
    """Whether kind, mode, owner, time and size or device number are those of the entry. Raises OSError."""
    return (
        status.st_mode == _TYPE_BITS[entry.kind] | entry.mode
        and status.st_uid == entry.uid
        and status.st_gid == entry.gid
        and (entry.kind is not Kind.FILE or status.st_size == entry.size)
        and (entry.kind not in DEVICES or status.st_rdev == entry.rdev)
        and times.same(entry.mtime_ns, status.st_mtime_ns)
    )


def same_content(entry: Entry, other: Entry | None) -> bool:
    """Whether both are plain files with the same bytes."""
    return (
        other is not None
        and entry.kind is Kind.FILE
        and other.kind is Kind.FILE
        and entry.size == other.size
        and entry.chunks == other.chunks
    )


def observation(
    path: TreePath, status: os.stat_result, target: bytes = b"", chunks: bytes = b"", xattrs: Attributes = ()
) -> Observation:
    """What a look at the disk found. Raises ValueError for kinds that never are kept in sync."""
    kind = kind_of(status)
    if kind is None:
        raise ValueError("a kind that is not kept in sync")
    return Observation(
        path=path,
        kind=kind,
        mode=stat.S_IMODE(status.st_mode),
        uid=status.st_uid,
        gid=status.st_gid,
        mtime_ns=status.st_mtime_ns,
        size=status.st_size if kind is Kind.FILE else 0,
        target=target,
        rdev=status.st_rdev if kind in DEVICES else 0,
        xattrs=xattrs,
        chunks=chunks,
    )


def set_attributes(
    entry: Entry, child: bytes, directory: int, xattrs: Xattrs, status: os.stat_result | None = None
) -> None:
    """Give a directory's child the attributes of its entry; ``status`` is what is known of it now.

    The owner comes first, because changing it takes away set-user-id and file capabilities; then the mode, because an
    access control list holds a part of it; the time last. Raises OSError, ValueError.
    """
    if status is None or (status.st_uid, status.st_gid) != (entry.uid, entry.gid):
        os.chown(child, entry.uid, entry.gid, dir_fd=directory, follow_symlinks=False)
        status = None
    if entry.kind is not Kind.LINK and (status is None or stat.S_IMODE(status.st_mode) != entry.mode):
        _chmod(child, directory, entry.mode)
    xattrs.set_child(entry, child, directory)
    os.utime(child, ns=(entry.mtime_ns, entry.mtime_ns), dir_fd=directory, follow_symlinks=False)


def set_open_attributes(entry: Entry, fd: int, xattrs: Xattrs | None) -> None:
    """The same for an open file or directory; no ``xattrs``: those are right. Raises OSError, ValueError."""
    status = os.fstat(fd)
    if (status.st_uid, status.st_gid) != (entry.uid, entry.gid):
        os.fchown(fd, entry.uid, entry.gid)
        status = os.fstat(fd)
    if stat.S_IMODE(status.st_mode) != entry.mode:
        os.fchmod(fd, entry.mode)
    if xattrs is not None:
        xattrs.set_open(entry, fd)
    os.utime(fd, ns=(entry.mtime_ns, entry.mtime_ns))


def _chmod(child: bytes, directory: int, mode: int) -> None:
    # O_PATH with O_NOFOLLOW: a link put there in the meantime must not lead the change elsewhere.
    fd = os.open(child, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
    try:
        if not stat.S_ISLNK(os.fstat(fd).st_mode):
            os.chmod(b"/proc/self/fd/%d" % fd, mode)
    finally:
        os.close(fd)
