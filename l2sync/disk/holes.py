"""Holes: what a file system need not store, found where files are read and left where they are written."""

from __future__ import annotations

import errno
import os

_BLOCK = 4096
_ZEROS = bytes(_BLOCK)


class Holes:
    """Where the holes of one open file are."""

    def __init__(self, fd: int, status: os.stat_result) -> None:
        self._fd = fd
        self._sparse = status.st_blocks * 512 < status.st_size
        self._data = 0
        """No data between the offset asked for last and this one."""

    def covers(self, offset: int, length: int) -> bool:
        """Whether nothing but a hole is there; to be asked for rising offsets. Raises OSError."""
        if not self._sparse:
            return False
        if self._data <= offset:
            self._data = next_data(self._fd, offset)
        return self._data >= offset + length


def next_data(fd: int, offset: int) -> int:
    """The first offset from this one on where data may be; far beyond the end if there is none. Raises OSError."""
    try:
        return os.lseek(fd, offset, os.SEEK_DATA)
    except OSError as error:
        if error.errno == errno.ENXIO:
            return 1 << 63
        raise


def has_holes(data: bytes | memoryview) -> bool:
    """Whether blocks of it may be left out: one begins with a zero. To search for a block of them takes far longer."""
    return len(data) >= _BLOCK and 0 in data[::_BLOCK]


def write_all(fd: int, data: bytes | memoryview, offset: int) -> None:
    """Write to a new file, whose size is set already, all but whole blocks of zeros. Raises OSError."""
    if not has_holes(data):
        done = os.pwrite(fd, data, offset)
        if done < len(data):
            _write(fd, memoryview(data)[done:], offset + done)
        return
    view = memoryview(data)
    firsts, start = bytes(view[::_BLOCK]), 0
    block = firsts.find(0)
    while block >= 0:
        at = block * _BLOCK
        if bytes(view[at : at + _BLOCK]) == _ZEROS[: len(view) - at]:
            if at > start:
                _write(fd, view[start:at], offset + start)
            start = at + _BLOCK
        block = firsts.find(0, block + 1)
    if start < len(view):
        _write(fd, view[start:], offset + start)


def copy_all(source: int, target: int, size: int) -> None:
    """Copy an open file into a new one, holes as holes, in the file system itself where it can.

    Raises OSError, EOFError.
    """
    os.ftruncate(target, size)
    status = os.fstat(source)
    if status.st_size < size:
        raise EOFError("the source ended early")
    if status.st_blocks * 512 >= size:
        _copy(source, target, 0, size)
        return
    offset = next_data(source, 0)
    while offset < size:
        end = min(size, os.lseek(source, offset, os.SEEK_HOLE))
        _copy(source, target, offset, end)
        offset = next_data(source, end)


def _copy(source: int, target: int, offset: int, end: int) -> None:
    while offset < end:
        try:
            done = os.copy_file_range(source, target, end - offset, offset, offset)
        except OSError:
            data = os.pread(source, min(end - offset, 1 << 20), offset)
            _write(target, memoryview(data), offset)
            done = len(data)
        if not done:
            raise EOFError("the source ended early")
        offset += done


def _write(fd: int, data: memoryview, offset: int) -> None:
    done = os.pwrite(fd, data, offset)
    while done < len(data):
        done += os.pwrite(fd, data[done:], offset + done)
