"""A file's content as chunks of equal length, each named by its BLAKE3 hash."""

from __future__ import annotations

import errno
import os
from typing import NamedTuple

from blake3 import blake3

from l2sync.modtree import CHUNK_RECORD, Kind, Observation, zeros_hash

from .beneath import is_regular
from .holes import Holes
from .look import signature
from .moments import wait_for_the_tick
from .xattrs import Attributes, Xattrs

SMALLEST = 128 << 10
MOST_CHUNKS = 4096

READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
"""How files are opened for reading; not blocking, in case a pipe has taken the file's place."""


class Unsettled(Exception):
    """The file changed while it was read."""


class Read(NamedTuple):
    """What reading a file once came to."""

    status: os.stat_result
    chunks: bytes
    xattrs: Attributes


def chunk_size(size: int, before: Observation | None = None) -> int:
    """The chunk length for a file of ``size`` bytes, in bytes.

    The length used for the version before is kept while it gives at most twice the chunks wanted and not less than
    a sixteenth, so that a growing file keeps the names of its chunks.
    """
    best = SMALLEST
    while best * MOST_CHUNKS < size:
        best *= 2
    if before is not None and before.kind is Kind.FILE and len(before.chunks) > CHUNK_RECORD:
        kept = int.from_bytes(before.chunks[32:CHUNK_RECORD], "big")
        if kept >= SMALLEST and best <= kept * 2 and kept <= best * 16:
            return kept
    return best


def read_chunks(fd: int, status: os.stat_result, length: int) -> bytes:
    """The packed chunk records of an open file, read once from its start.

    Raises Unsettled as soon as the file is seen not to look like ``status`` any more, so that a large file that is
    being written costs no reading of all of it.
    """
    records = []
    holes = Holes(fd, status)
    left = status.st_size
    offset = 0
    while left:
        want = min(length, left)
        if holes.covers(offset, want):
            digest = zeros_hash(want)
        else:
            data = os.pread(fd, want, offset)
            if len(data) != want:
                data = _rest(fd, data, want, offset)
            digest = blake3(data).digest()
        records.append(digest + want.to_bytes(4, "big"))
        left -= want
        offset += want
        if signature(os.fstat(fd)) != signature(status):
            raise Unsettled
    return b"".join(records)


def _rest(fd: int, data: bytes, want: int, offset: int) -> bytes:
    while len(data) < want:
        more = os.pread(fd, want - len(data), offset + len(data))
        if not more:
            raise Unsettled
        data += more
    return data


def hash_file(
    child: bytes,
    directory: int,
    xattrs: Xattrs,
    before: Observation | None = None,
    length: int | None = None,
    wait: bool = True,
) -> Read:
    """Read a file once: what stat says of it, its packed chunks, its extended attributes.

    Raises Unsettled when it changed meanwhile or is no plain file any more, OSError for other troubles.
    """
    try:
        fd = _open(child, directory)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ELOOP, errno.ENXIO):
            raise Unsettled from error
        raise
    try:
        status = os.fstat(fd)
        if not is_regular(status):
            raise Unsettled
        if wait:
            wait_for_the_tick(status)
        attributes = xattrs.of_open(fd)
        chunks = read_chunks(fd, status, length or chunk_size(status.st_size, before))
        if not chunks and signature(os.fstat(fd)) != signature(status):
            raise Unsettled
        return Read(status, chunks, attributes)
    finally:
        os.close(fd)


def _open(child: bytes, directory: int) -> int:
    try:
        return os.open(child, READ | os.O_NOATIME, dir_fd=directory)
    except PermissionError:  # some file systems refuse O_NOATIME even to root
        return os.open(child, READ, dir_fd=directory)
