"""The mark in a file system's private directory, by which it is known again."""

from __future__ import annotations

import os

from l2sync.modtree import PRIVATE

from .beneath import DIRECTORY, System

_ID = b"id"
_ASIDE = b"id.new"
MARKER = PRIVATE + b"/" + _ID
_NONE = (FileNotFoundError, NotADirectoryError)
_LONGEST = 256


def read_mark(system: System) -> bytes | None:
    """What a file system is marked with, None where it is not. Raises OSError."""
    try:
        fd = system.open(MARKER, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    except _NONE:
        return None
    try:
        return os.read(fd, _LONGEST).strip()
    finally:
        os.close(fd)


def write_mark(system: System, text: bytes) -> None:
    """Mark a file system, durably, and make its private directory where that is missing. Raises OSError."""
    make_private(system)
    directory = system.open(PRIVATE, DIRECTORY)
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(_ASIDE, flags, 0o600, dir_fd=directory)
        try:
            os.write(fd, text + b"\n")
            os.fsync(fd)
        finally:
            os.close(fd)
        os.rename(_ASIDE, _ID, src_dir_fd=directory, dst_dir_fd=directory)
        os.fsync(directory)
    finally:
        os.close(directory)


def make_private(system: System) -> None:
    """Make the private directory where it is missing; that is to look like no change of the tree. Raises OSError."""
    before = os.fstat(system.fd)
    try:
        os.mkdir(PRIVATE, 0o700, dir_fd=system.fd)
    except FileExistsError:
        return
    os.utime(system.fd, ns=(before.st_atime_ns, before.st_mtime_ns))
