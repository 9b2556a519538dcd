"""Entries in little memory: about a third of their packed form, which they come from and can be turned into again.

Who wrote, what kind it is, its mode and owners are the same for many entries: they are held once. An entry that has one
chunk at the most, no target, label or attributes, and a version of its own write alone, needs no more than thirty bytes
and its hash. Any other is held as it is packed, without its path.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from .codec import CODED_HEAD, FORMAT, MalformedEntry, unpack_entry
from .entry import CHUNK_RECORD, Entry, Kind
from .paths import TreePath
from .version import VersionVector

_SHORT = struct.Struct(">HqIQQ")
_WHOLE = b"\xff\xff"
"""In the place of a common part's number: what follows is packed."""
_MOST_COMMON = 0xFFFF
_HASH = 32


class _Common(NamedTuple):
    kind: Kind
    mode: int
    uid: int
    gid: int
    replica: int
    author: str


class Records:
    """Makes records of packed entries, and entries of records; holds what they have in common."""

    __slots__ = ("_common", "_numbers")

    def __init__(self) -> None:
        self._common: list[_Common] = []
        self._numbers: dict[tuple[bytes, bytes, bytes], int] = {}

    def make(self, packed: bytes) -> tuple[TreePath, bytes]:
        """The path and the record of a packed entry that is known to be sound. Raises MalformedEntry."""
        fields = CODED_HEAD.unpack_from(packed)
        if fields[0] != FORMAT:
            raise MalformedEntry("an entry of another format")
        size, rdev, _, counter, path_len, target_len, author_len, group_len, dots, xattrs, chunks = fields[7:]
        start = CODED_HEAD.size
        end = start + path_len
        path = TreePath(packed[start:end])
        after = end + author_len
        version, chunk = packed[after : after + 16], packed[after + 16 :]
        short = (
            not (rdev or target_len or group_len or xattrs)
            and (dots == 1 and version == packed[_DOT_AT:_DOT_END])
            and (chunks == 0 or (chunks == 1 and int.from_bytes(chunk[_HASH:], "big") == size))
        )
        number = self._number(packed, fields, packed[end:after]) if short else None
        if number is None:
            return path, _WHOLE + packed[:start] + packed[end:]
        return path, _SHORT.pack(number, fields[5], fields[6], size, counter) + chunk[:_HASH]

    def entry(self, path: TreePath, record: bytes) -> Entry:
        """The entry again."""
        if record[:2] == _WHOLE:
            head = 2 + CODED_HEAD.size
            return unpack_entry(record[2:head] + path + record[head:])[0]
        number, seconds, ns, size, counter = _SHORT.unpack_from(record)
        common = self._common[number]
        digest = record[_SHORT.size :]
        return Entry(
            path=path,
            kind=common.kind,
            mode=common.mode,
            uid=common.uid,
            gid=common.gid,
            mtime_ns=seconds * 1_000_000_000 + ns,
            size=size,
            chunks=digest + size.to_bytes(CHUNK_RECORD - _HASH, "big") if digest else b"",
            version=VersionVector(((common.replica, counter),)),
            author=common.author,
            dot=(common.replica, counter),
        )

    def kind_and_size(self, record: bytes) -> tuple[Kind, int]:
        """What counting needs."""
        if record[:2] == _WHOLE:
            fields = CODED_HEAD.unpack_from(record, 2)
            return Kind(fields[1]), int(fields[7])
        number, _, _, size, _ = _SHORT.unpack_from(record)
        return self._common[number].kind, int(size)

    def _number(self, packed: bytes, fields: tuple[int, ...], author: bytes) -> int | None:
        """Which common part it is; None where there are too many to hold another."""
        key = (packed[1:_OWNERS_END], packed[_DOT_AT : _DOT_AT + 8], author)
        number = self._numbers.get(key)
        if number is None:
            number = len(self._common)
            if number >= _MOST_COMMON:
                return None
            self._numbers[key] = number
            kind, mode, uid, gid = fields[1:5]
            self._common.append(_Common(Kind(kind), mode, uid, gid, fields[9], author.decode()))
        return number


_OWNERS_END = 12
"""In a packed entry: kind, mode, uid and gid end here."""
_DOT_AT = 40
_DOT_END = 56
assert struct.calcsize(">BBHII") == _OWNERS_END and struct.calcsize(">BBHIIqIQQ") == _DOT_AT
