"""A file's content as chunks, each named by its BLAKE3 hash: of equal length, or cut around a change as before it.

What is put into a file, or taken out, moves all that follows: there the cuts of the version before are tried from the
file's end too, so that only what lies between is new. That is cut by its content: the next time the file becomes longer
or shorter, in however many places, the cuts are found again.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from blake3 import blake3

from l2sync.modtree import CHUNK_RECORD, SHORTEST_CHUNK, Chunk, Kind, Observation, pack_chunks, zeros_hash

from .beneath import is_regular
from .content import Range, cut_by_content
from .holes import Holes
from .look import signature
from .moments import wait_for_the_tick
from .xattrs import Attributes, Xattrs

MOST_CHUNKS = 8192
_BY_CONTENT = 8
"""What changed is cut by its content from so many chunks' lengths on; what is shorter is cheap to send again."""
_MOST_CUTS = 4 * MOST_CHUNKS
"""A file that was cut into more, by many changes, is cut anew."""

_LEAST_PART = 16 << 20
"""Bytes that a thread of its own is worth while for."""
_MOST_THREADS = 4

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
    best = SHORTEST_CHUNK
    while best * MOST_CHUNKS < size:
        best *= 2
    if before is not None and before.kind is Kind.FILE and len(before.chunks) > CHUNK_RECORD:
        kept = _length_of(before.chunk_list())
        if best <= kept * 2 and kept <= best * 16:
            return kept
    return best


def _length_of(chunks: list[Chunk]) -> int:
    """The chunk length that these were cut with: by content, none may have reached it."""
    longest, length = max(chunk.length for chunk in chunks), SHORTEST_CHUNK
    while length < longest:
        length *= 2
    return length


class Cutter:
    """One reading of an open file.

    Its methods raise Unsettled as soon as the file is seen not to look like ``status`` any more, so that a large file
    that is being written costs no reading of all of it.
    """

    def __init__(self, fd: int, status: os.stat_result) -> None:
        self._fd = fd
        self._status = status
        self._wanted = signature(status)

    def equally(self, start: int, end: int, length: int) -> bytes:
        """The records of chunks of one length, but for the last, from an offset to another."""
        return self.by(start, [min(length, end - at) for at in range(start, end, length)])

    def by(self, start: int, lengths: Iterable[int]) -> bytes:
        """The records of chunks of these lengths, from an offset on; large files are read in several places at once."""
        parts = _parts(start, list(lengths))
        if len(parts) < 2:
            return b"".join(self._by(*part) for part in parts)
        with ThreadPoolExecutor(len(parts)) as pool:
            return b"".join(pool.map(lambda part: self._by(*part), parts))

    def _by(self, start: int, lengths: list[int]) -> bytes:
        records, holes = [], Holes(self._fd, self._status)
        for length in lengths:
            records.append(self._record(start, length, holes))
            start += length
        return b"".join(records)

    def around_a_change(self, before: list[Chunk], length: int) -> bytes:
        """The records of a file that was cut like this before it became longer or shorter."""
        (head, start), (tail, behind) = self._ends(before)
        while tail and (behind < start or head + tail > len(before)):
            behind += before[-tail].length
            tail -= 1
        # Short chunks beside the change are cut anew with it, or they would become ever more.
        while head and before[head - 1].length < length // 2:
            head -= 1
            start -= before[head].length
        while tail and before[-tail].length < length // 2:
            behind += before[-tail].length
            tail -= 1
        kept = before[len(before) - tail :]
        between = self.by_content if behind - start >= _BY_CONTENT * length else self.equally
        return pack_chunks(before[:head]) + between(start, behind, length) + pack_chunks(kept)

    def _ends(self, before: list[Chunk]) -> tuple[tuple[int, int], tuple[int, int]]:
        """As `_same`, from the file's beginning and from its end; of a large file both at once."""
        size = self._status.st_size
        if size < 2 * _LEAST_PART:
            return self._same(before, 0, size), self._same(before[::-1], size, 0)
        with ThreadPoolExecutor(1) as pool:
            ending = pool.submit(self._same, before[::-1], size, 0)
            return self._same(before, 0, size), ending.result()

    def by_content(self, start: int, end: int, length: int) -> bytes:
        """The records of chunks of at most this length, cut where the content says, from an offset to another."""
        records, at = [], start
        for data in cut_by_content(Range(self._fd, start, end), length):
            records.append(self._recorded(blake3(data).digest(), len(data)))
            at += len(data)
        if at != end:
            raise Unsettled
        return b"".join(records)

    def _same(self, chunks: list[Chunk], at: int, limit: int) -> tuple[int, int]:
        """How many of the chunks still follow each other from ``at`` towards ``limit``, and where they end."""
        count, way = 0, 1 if limit >= at else -1
        for chunk in chunks:
            end = at + way * chunk.length
            if (end - limit) * way > 0:
                break
            record = self._record(min(at, end), chunk.length, Holes(self._fd, self._status))
            if record[:32] != chunk.hash:
                break
            count, at = count + 1, end
        return count, at

    def _record(self, offset: int, length: int, holes: Holes) -> bytes:
        if holes.covers(offset, length):
            digest = zeros_hash(length)
        else:
            data = os.pread(self._fd, length, offset)
            if len(data) != length:
                data = _rest(self._fd, data, length, offset)
            digest = blake3(data).digest()
        return self._recorded(digest, length)

    def _recorded(self, digest: bytes, length: int) -> bytes:
        if signature(os.fstat(self._fd)) != self._wanted:
            raise Unsettled
        return digest + length.to_bytes(4, "big")


def _parts(start: int, lengths: list[int]) -> list[tuple[int, list[int]]]:
    """Chunks one after the other, as what each of several threads is to read: from where, and the lengths."""
    total = sum(lengths)
    threads = max(1, min(_MOST_THREADS, len(os.sched_getaffinity(0)), total // _LEAST_PART))
    parts: list[tuple[int, list[int]]] = [(start, [])]
    done = 0
    for length in lengths:
        if done * threads >= total * len(parts):
            parts.append((start + done, []))
        parts[-1][1].append(length)
        done += length
    return parts


def cut(fd: int, status: os.stat_result, before: Observation | None) -> bytes:
    """The packed chunk records of an open file. Raises Unsettled, OSError."""
    size = status.st_size
    length = chunk_size(size, before)
    cutter = Cutter(fd, status)
    if before is None or before.kind is not Kind.FILE or len(before.chunks) <= CHUNK_RECORD:
        return cutter.equally(0, size, length)
    known = before.chunk_list()
    if length != _length_of(known) or len(known) > _MOST_CUTS:
        return cutter.equally(0, size, length)
    if size == before.size:
        return cutter.by(0, [chunk.length for chunk in known])
    return cutter.around_a_change(known, length)


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
    like: Observation | None = None,
    wait: bool = True,
) -> Read:
    """Read a file once: what stat says of it, its packed chunks, its extended attributes.

    ``before``: the version that it had; ``like``: one that it may hold, of which the cuts are wanted if it is as long.

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
        if like is not None and like.size == status.st_size:
            chunks = Cutter(fd, status).by(0, [chunk.length for chunk in like.chunk_list()])
        else:
            chunks = cut(fd, status, before)
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
