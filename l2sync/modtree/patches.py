"""A large file's entry told by how its chunks differ from a list that the receivers know.

An entry of a file of 1 GiB names thousands of chunks; where few of them are new, or all of them stood under another
name a moment ago, the entry goes over the segment as a patch of that list.
"""

from __future__ import annotations

import struct

from blake3 import blake3

from .codec import MalformedEntry, pack_entry
from .entry import CHUNK_RECORD, Entry
from .paths import InvalidPath, TreePath, tree_path

PATCH = 2
"""The first byte of a patched entry, where a packed one has its format."""
LEAST_CHUNKS = 8
"""Shorter lists are told as they are."""
_HEAD = struct.Struct(">B16sHH")
_STEP = struct.Struct(">II")
_ABOVE = 0xFFFFFFFF
_MOST_CHUNKS = 1 << 20


def digest_of(chunks: bytes) -> bytes:
    """Names a list of chunks, in 16 bytes."""
    return blake3(chunks).digest(length=16)


def pack_patch(entry: Entry, path: TreePath, chunks: bytes) -> bytes | None:
    """The entry as a patch of the chunks that ``path`` had; None where that saves less than half."""
    packed = pack_entry(entry)
    steps = _steps(entry.chunks, chunks)
    if len(steps) > 0xFFFF:
        return None
    body = [_HEAD.pack(PATCH, digest_of(chunks), len(path), len(steps)), path]
    for start, count, records in steps:
        body += (_STEP.pack(start, count), records)
    body.append(packed[: len(packed) - len(entry.chunks)])
    patch = b"".join(body)
    return patch if 2 * len(patch) < len(packed) else None


def is_patch(blob: bytes) -> bool:
    """Whether this is a patched entry."""
    return blob[:1] == bytes((PATCH,))


def base_of(blob: bytes) -> tuple[TreePath, bytes]:
    """The path whose chunks a patch starts from, and their digest. Raises MalformedEntry."""
    try:
        _, digest, length, _ = _HEAD.unpack_from(blob)
        return tree_path(blob[_HEAD.size : _HEAD.size + length]), digest
    except (struct.error, InvalidPath) as error:
        raise MalformedEntry(f"no patch: {error}") from error


def apply_patch(blob: bytes, chunks: bytes) -> bytes:
    """The packed entry that a patch makes of the chunks it starts from. Raises MalformedEntry."""
    _, _, length, steps = _HEAD.unpack_from(blob)
    at = _HEAD.size + length
    parts, total = list[bytes](), 0
    try:
        for _ in range(steps):
            start, count = _STEP.unpack_from(blob, at)
            at += _STEP.size
            total += count
            if total > _MOST_CHUNKS:
                raise MalformedEntry("a patch that makes too many chunks")
            size = count * CHUNK_RECORD
            if start == _ABOVE:
                parts.append(blob[at : at + size])
                at += size
            else:
                parts.append(chunks[start * CHUNK_RECORD : start * CHUNK_RECORD + size])
            if len(parts[-1]) != size:
                raise MalformedEntry("a patch that takes chunks which are not there")
    except struct.error as error:
        raise MalformedEntry(f"no patch: {error}") from error
    return b"".join((blob[at:], *parts))


def _steps(wanted: bytes, known: bytes) -> list[tuple[int, int, bytes]]:
    """How to make one list of the other: (place, count, nothing) takes a run, (_ABOVE, count, records) brings one."""
    places: dict[bytes, int] = {}
    for place, at in enumerate(range(0, len(known), CHUNK_RECORD)):
        places.setdefault(known[at : at + CHUNK_RECORD], place)
    runs: list[tuple[int, int, int]] = []
    start, count, begin, following = _ABOVE, 0, 0, b""
    for at in range(0, len(wanted), CHUNK_RECORD):
        record = wanted[at : at + CHUNK_RECORD]
        if start != _ABOVE:
            following = known[(start + count) * CHUNK_RECORD : (start + count + 1) * CHUNK_RECORD]
        if count and (following == record if start != _ABOVE else record not in places):
            count += 1
            continue
        runs.append((start, count, begin))
        start, count, begin = places.get(record, _ABOVE), 1, at
    runs.append((start, count, begin))
    return [
        (start, count, wanted[begin : begin + count * CHUNK_RECORD] if start == _ABOVE else b"")
        for start, count, begin in runs
        if count
    ]
