"""Entries as bytes: for frames, for the index, and for digests. Big-endian, packed by hand beside its declaration."""

from __future__ import annotations

import struct
from itertools import pairwise

from construct import Array, Bytes, Const, Int8ub, Int16ub, Int32ub, Int64sb, Int64ub, Struct, this

from .entry import CHUNK_RECORD, MOST_CHUNK, Entry, Kind
from .paths import tree_path
from .version import MOST_COUNT, MOST_DOTS, VersionVector

FORMAT = 1
CODED_HEAD = struct.Struct(">BBHIIqIQQQQHHBBBHI")
"""What comes before the path in a packed entry."""
_DOT = struct.Struct(">QQ")
_XATTR = struct.Struct(">HI")
_LENGTHS = struct.Struct(">32xI")
"""Of a chunk's record, its length."""
_SECOND = 1_000_000_000
NAMESPACES = (b"user.", b"trusted.", b"security.", b"system.posix_acl_access", b"system.posix_acl_default")
"""How the names of extended attributes begin that an entry may have."""
_MOST_NAME = 255
_MOST_VALUE = 1 << 16

ENTRY = Struct(
    "format" / Const(FORMAT, Int8ub),
    "kind" / Int8ub,
    "mode" / Int16ub,
    "uid" / Int32ub,
    "gid" / Int32ub,
    "mtime" / Int64sb,
    "mtime_ns" / Int32ub,
    "size" / Int64ub,
    "rdev" / Int64ub,
    "dot_replica" / Int64ub,
    "dot_counter" / Int64ub,
    "path_length" / Int16ub,
    "target_length" / Int16ub,
    "author_length" / Int8ub,
    "link_group_length" / Int8ub,
    "version_count" / Int8ub,
    "xattr_count" / Int16ub,
    "chunk_count" / Int32ub,
    "path" / Bytes(this.path_length),
    "target" / Bytes(this.target_length),
    "author" / Bytes(this.author_length),
    "link_group" / Bytes(this.link_group_length),
    "version" / Array(this.version_count, Struct("replica" / Int64ub, "counter" / Int64ub)),
    "xattrs"
    / Array(
        this.xattr_count,
        Struct(
            "name_length" / Int16ub,
            "value_length" / Int32ub,
            "name" / Bytes(this.name_length),
            "value" / Bytes(this.value_length),
        ),
    ),
    "chunks" / Array(this.chunk_count, Struct("hash" / Bytes(32), "length" / Int32ub)),
)
"""The declaration of a packed entry; `pack_entry` and `unpack_entry` are its faster twins."""


_PACKED = "packed"
_MOST_HELD = 1024
"""Bytes that are kept beside an entry; of a large file, packing copies hashes: no time beside reading it."""
_KINDS = {int(kind): kind for kind in Kind}


class MalformedEntry(ValueError):
    """Bytes that are no entry, or an entry that contradicts itself."""


def pack_entry(entry: Entry) -> bytes:
    """One entry as bytes: packed once, though tree, journal, index and frames want it. Raises MalformedEntry where a
    value does not fit its field.
    """
    beside = entry.__dict__
    packed: bytes | None = beside.get(_PACKED)
    if packed is None:
        packed = _pack(entry)
        if len(packed) <= _MOST_HELD:
            beside[_PACKED] = packed
    return packed


def _pack(entry: Entry) -> bytes:
    author = entry.author.encode()
    seconds, ns = divmod(entry.mtime_ns, _SECOND)
    dots = entry.version.dots
    try:
        parts = [
            CODED_HEAD.pack(
                FORMAT,
                entry.kind,
                entry.mode,
                entry.uid,
                entry.gid,
                seconds,
                ns,
                entry.size,
                entry.rdev,
                *entry.dot,
                len(entry.path),
                len(entry.target),
                len(author),
                len(entry.link_group),
                len(dots),
                len(entry.xattrs),
                len(entry.chunks) // CHUNK_RECORD,
            ),
            entry.path,
            entry.target,
            author,
            entry.link_group,
        ]
        parts += [_DOT.pack(*dot) for dot in dots]
        for attribute, value in entry.xattrs:
            parts += (_XATTR.pack(len(attribute), len(value)), attribute, value)
    except struct.error as error:
        raise MalformedEntry(f"an entry that cannot be packed: {error}") from error
    parts.append(entry.chunks)
    return b"".join(parts)


def unpack_entry(data: bytes, offset: int = 0) -> tuple[Entry, int]:
    """The entry at ``offset`` and where it ends. Raises MalformedEntry (InvalidPath is turned into it)."""
    try:
        return _unpack(data, offset)
    except MalformedEntry:
        raise
    except (struct.error, ValueError) as error:
        raise MalformedEntry(f"no entry: {error}") from error


def _unpack(data: bytes, offset: int) -> tuple[Entry, int]:
    fields = CODED_HEAD.unpack_from(data, offset)
    version, kind, mode, uid, gid, seconds, ns, size, rdev, replica, counter = fields[:11]
    path_len, target_len, author_len, group_len, dots, xattrs, chunks = fields[11:]
    if version != FORMAT or mode > 0o7777 or ns >= _SECOND or kind not in _KINDS:
        raise MalformedEntry("an entry of another format, or with a field beyond its bounds")
    at = offset + CODED_HEAD.size
    path = data[at : (at := at + path_len)]
    target = data[at : (at := at + target_len)]
    author = data[at : (at := at + author_len)].decode()
    group = data[at : (at := at + group_len)]
    version_end = at + dots * _DOT.size
    vector = tuple(_DOT.iter_unpack(data[at:version_end]))
    at = version_end
    if len(vector) != dots or (dots > 1 and any(a[0] >= b[0] for a, b in pairwise(vector))):
        raise MalformedEntry("a version vector that is cut off or not in order")
    attributes = []
    for _ in range(xattrs):
        name_len, value_len = _XATTR.unpack_from(data, at)
        at += _XATTR.size
        attributes.append((data[at : at + name_len], data[at + name_len : at + name_len + value_len]))
        at += name_len + value_len
    packed = data[at : (at := at + chunks * CHUNK_RECORD)]
    if at > len(data):
        raise MalformedEntry("an entry that is cut off")
    entry = Entry(
        path=tree_path(path),
        kind=_KINDS[kind],
        mode=mode,
        uid=uid,
        gid=gid,
        mtime_ns=seconds * _SECOND + ns,
        size=size,
        target=target,
        rdev=rdev,
        xattrs=tuple(attributes),
        link_group=group,
        chunks=packed,
        version=VersionVector(vector),
        author=author,
        dot=(replica, counter),
    )
    _check(entry)
    # There is one way only to pack an entry: what is read could not have been packed otherwise.
    if at - offset <= _MOST_HELD:
        entry.__dict__[_PACKED] = bytes(data[offset:at])
    return entry, at


def _check(entry: Entry) -> None:
    if _content_length(entry.chunks) != (entry.size if entry.kind is Kind.FILE else 0):
        raise MalformedEntry("chunks that do not add up to the size")
    if entry.kind not in (Kind.FILE, Kind.TOMBSTONE) and entry.size:
        raise MalformedEntry("a size where no content is")
    if (entry.kind is Kind.LINK) != bool(entry.target) or b"\0" in entry.target:
        raise MalformedEntry("a link without a target, or a target without a link")
    if entry.rdev and entry.kind not in (Kind.CHAR, Kind.BLOCK):
        raise MalformedEntry("a device number of no device")
    if entry.xattrs:
        _check_xattrs(entry)
    dots = entry.version.dots
    for _, count in dots:
        if not 0 < count <= MOST_COUNT:
            raise MalformedEntry("a count of writes that nobody gets to")
    full = len(dots) >= MOST_DOTS
    nobodys = entry.dot == (0, 0) and not dots
    unseen = not entry.dot[1] or (entry.version.counter(entry.dot[0]) < entry.dot[1] and not full)
    if unseen and not nobodys:
        raise MalformedEntry("a version that has not seen its own last write")
    if not entry.path and entry.kind is not Kind.DIR:
        raise MalformedEntry("a root that is no directory")


def _content_length(chunks: bytes) -> int:
    if not chunks:
        return 0
    lengths = _LENGTHS.iter_unpack(chunks) if len(chunks) > CHUNK_RECORD else (_LENGTHS.unpack(chunks),)
    total = 0
    for (length,) in lengths:
        if not 0 < length <= MOST_CHUNK:
            raise MalformedEntry("a chunk that is empty, or longer than any")
        total += length
    return total


def _check_xattrs(entry: Entry) -> None:
    """Names in order, of the namespaces that are kept, and no longer than the kernel takes them."""
    if any(a[0] >= b[0] for a, b in pairwise(entry.xattrs)):
        raise MalformedEntry("extended attributes out of order")
    for name, value in entry.xattrs:
        if not name.startswith(NAMESPACES) or len(name) > _MOST_NAME or b"\0" in name or len(value) > _MOST_VALUE:
            raise MalformedEntry("an extended attribute beyond its bounds")
