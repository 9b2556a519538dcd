"""Copying a file or a link from one file system to another with all that can be kept of it."""

from __future__ import annotations

import contextlib
import os
import stat

from .chunker import READ
from .holes import copy_all

_WRITE = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def copy_thing(child: bytes, directory: int, copy: bytes, area: int) -> None:
    """Copy a directory's child to the name ``copy`` in the directory ``area``, durably, over what is there.

    Raises OSError, also where it became shorter meanwhile.
    """
    with contextlib.suppress(FileNotFoundError):
        os.unlink(copy, dir_fd=area)
    status = os.stat(child, dir_fd=directory, follow_symlinks=False)
    times = (status.st_atime_ns, status.st_mtime_ns)
    if stat.S_ISLNK(status.st_mode):
        os.symlink(os.readlink(child, dir_fd=directory), copy, dir_fd=area)
        os.chown(copy, status.st_uid, status.st_gid, dir_fd=area, follow_symlinks=False)
        os.utime(copy, ns=times, dir_fd=area, follow_symlinks=False)
        return
    source = os.open(child, READ, dir_fd=directory)
    try:
        target = os.open(copy, _WRITE, 0o600, dir_fd=area)
        try:
            _copy_open(source, target, status)
        finally:
            os.close(target)
    finally:
        os.close(source)


def _copy_open(source: int, target: int, status: os.stat_result) -> None:
    try:
        copy_all(source, target, status.st_size)
    except EOFError as error:
        raise OSError("it became shorter while it was copied") from error
    os.fchown(target, status.st_uid, status.st_gid)
    os.fchmod(target, stat.S_IMODE(status.st_mode))
    for attribute in os.listxattr(source):
        with contextlib.suppress(OSError):  # what the other file system does not keep
            os.setxattr(target, attribute, os.getxattr(source, attribute))
    os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))
    os.fsync(target)
