"""An entry: what stands at a path, and which version of it."""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import NamedTuple

import msgspec
from blake3 import blake3

from .paths import TreePath
from .version import VersionVector

_HASH = 32
CHUNK_RECORD = _HASH + 4
SHORTEST_CHUNK = 128 << 10
"""Bytes that a file's content is cut into, at the least: only its end, and what was cut by its content, is shorter.

So a shorter chunk may be all of a small file. Of these no receiver asks whether they hold but zeros, as nothing is
gained by it; the sender must send them, then, and from here on need not: the two and `is_zeros` go by this number.
"""
MOST_CHUNK = 1 << 30
"""Bytes of a chunk, at the most: it is put together in memory. Files of up to 4 TiB have no longer ones."""
_NOTHING = VersionVector()
_RECORD = struct.Struct(">32sI")


class Kind(IntEnum):
    """What stands at a path."""

    TOMBSTONE = 0
    FILE = 1
    DIR = 2
    LINK = 3
    FIFO = 4
    CHAR = 5
    BLOCK = 6
    SOCKET = 7


class Chunk(NamedTuple):
    """A piece of content: its BLAKE3-256 hash and its length in bytes."""

    hash: bytes
    length: int


def pack_chunks(chunks: list[Chunk]) -> bytes:
    """Chunks as the records an entry holds: hash (32 bytes), length (u32)."""
    return b"".join(chunk.hash + chunk.length.to_bytes(4, "big") for chunk in chunks)


def unpack_chunks(packed: bytes) -> list[Chunk]:
    """The reverse of `pack_chunks`."""
    return [Chunk(digest, length) for digest, length in _RECORD.iter_unpack(packed)]


class Observation(msgspec.Struct, frozen=True):
    """What a look at the disk found at a path; a tombstone says that nothing is there.

    Times in ns since the epoch, sizes in bytes, ``mode`` the twelve permission bits, ``chunks`` packed records.
    """

    path: TreePath
    kind: Kind
    mode: int = 0
    uid: int = 0
    gid: int = 0
    mtime_ns: int = 0
    size: int = 0
    target: bytes = b""
    rdev: int = 0
    xattrs: tuple[tuple[bytes, bytes], ...] = ()
    link_group: bytes = b""
    chunks: bytes = b""

    def chunk_list(self) -> list[Chunk]:
        """The content's chunks in order."""
        return unpack_chunks(self.chunks)

    @property
    def only_hash(self) -> bytes | None:
        """The hash of content that is one chunk, as most is: then no list is made. None where it is none or several."""
        return self.chunks[:_HASH] if len(self.chunks) == CHUNK_RECORD else None

    @property
    def deleted(self) -> bool:
        """Whether nothing stands there."""
        return self.kind is Kind.TOMBSTONE

    def look(self) -> tuple[object, ...]:
        """All that is to be seen on disk, and nothing of versions: equal looks need no action."""
        return (
            self.kind,
            self.mode,
            self.uid,
            self.gid,
            self.mtime_ns,
            self.size,
            self.target,
            self.rdev,
            self.xattrs,
            self.link_group,
            self.chunks,
        )


class Entry(Observation, frozen=True, dict=True):
    """An observation with its version: who wrote it last (``author``, ``dot``) and all that it has seen.

    Beside its fields it may hold itself as it is packed (see `codec`), which counts for nothing in a comparison.
    """

    version: VersionVector = _NOTHING
    author: str = ""
    dot: tuple[int, int] = (0, 0)

    @property
    def deleted_at(self) -> int | None:
        """When it was deleted, in seconds since 1970 by the deleter's clock; None where it was not, or nobody knows."""
        return self.size or None if self.deleted else None

    @property
    def content(self) -> bytes:
        """32 bytes that name what is in it, whatever its attributes."""
        head = b"%d %d %d %d " % (self.kind, self.size, self.rdev, len(self.target))
        return blake3(head + self.target + self.chunks).digest()

    def same_content(self, other: Observation) -> bool:
        """Whether both hold the same bytes (or link target, or device)."""
        return (
            self.kind is other.kind
            and self.size == other.size
            and self.chunks == other.chunks
            and self.target == other.target
            and self.rdev == other.rdev
        )

    def same_state(self, other: Observation) -> bool:
        """Whether both look the same on disk."""
        return self.look() == other.look()


def to_entry(seen: Observation, old: Entry | None, replica: int, counter: int, author: str) -> Entry:
    """The version that an observation makes on top of what was known of the path.

    A tombstone keeps the attributes of what it deletes, so that a directory can come back as it was.
    """
    mode, uid, gid, mtime, xattrs = seen.mode, seen.uid, seen.gid, seen.mtime_ns, seen.xattrs
    if seen.deleted and old is not None:
        mode, uid, gid, mtime = old.mode, old.uid, old.gid, old.mtime_ns
        if old.kind in (Kind.DIR, Kind.TOMBSTONE):  # without its access list, the mode alone would allow too much
            xattrs = old.xattrs
    return Entry(
        path=seen.path,
        kind=seen.kind,
        mode=mode,
        uid=uid,
        gid=gid,
        mtime_ns=mtime,
        size=seen.size,
        target=seen.target,
        rdev=seen.rdev,
        xattrs=xattrs,
        link_group=seen.link_group,
        chunks=seen.chunks,
        version=(old.version if old is not None else _NOTHING).advance(replica, counter),
        author=author,
        dot=(replica, counter),
    )
