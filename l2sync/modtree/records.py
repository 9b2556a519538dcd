"""Entries in little memory: about a third of their packed form, which they come from and can be turned into again.

Who wrote, who has seen it, what kind it is, its mode and owners are the same for many entries: they are held once. An
entry that has one chunk at the most, no target, label or attributes, and a version of few replicas, needs no more than
some thirty bytes and its hash. Any other is held as it is packed, without its path.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from .codec import CODED_HEAD, FORMAT, MalformedEntry, unpack_entry
from .entry import CHUNK_RECORD, Entry, Kind
from .paths import TreePath
from .version import VersionVector

_MOST_REPLICAS = 4
"""In the version of an entry that is held without its packed form."""
_NUMBER = struct.Struct(">H")
_DOTS = tuple(struct.Struct(">" + "QQ" * count) for count in range(_MOST_REPLICAS + 1))
_NARROW = tuple(struct.Struct(">HqII" + "I" * count) for count in range(_MOST_REPLICAS + 1))
"""Common part's number, time (two fields), size, counters."""
_WIDE = tuple(struct.Struct(">HqIQ" + "Q" * count) for count in range(_MOST_REPLICAS + 1))
_NARROWEST = 1 << 32
"""From here on a size or a counter takes eight bytes."""
_WHOLE = b"\xff\xff"
"""In the place of a common part's number: what follows is packed."""
_MOST_COMMON = 0xFFFF
_HASH = 32


class _Common(NamedTuple):
    kind: Kind
    mode: int
    uid: int
    gid: int
    writer: int
    """Which of the replicas wrote."""
    replicas: tuple[int, ...]
    author: str
    wide: bool

    @property
    def form(self) -> struct.Struct:
        return _form(self.wide, len(self.replicas))


_Key = tuple[bytes, int, tuple[int, ...], bytes, bool]


def _form(wide: bool, replicas: int) -> struct.Struct:
    return (_WIDE if wide else _NARROW)[replicas]


class Records:
    """Makes records of packed entries, and entries of records; holds what they have in common."""

    __slots__ = ("_common", "_numbers")

    def __init__(self) -> None:
        self._common: list[_Common] = []
        self._numbers: dict[_Key, int] = {}

    def make(self, packed: bytes) -> tuple[TreePath, bytes]:
        """The path and the record of a packed entry that is known to be sound. Raises MalformedEntry."""
        fields = CODED_HEAD.unpack_from(packed)
        if fields[0] != FORMAT:
            raise MalformedEntry("an entry of another format")
        start = CODED_HEAD.size
        end = start + fields[11]
        record = self._short(packed, fields, end)
        return TreePath(packed[start:end]), record or _WHOLE + packed[:start] + packed[end:]

    def _short(self, packed: bytes, fields: tuple[int, ...], at: int) -> bytes | None:
        """A record that holds what is the entry's own alone; None for one of another form. ``at``: its path's end."""
        size, rdev, *dot, _, target_len, author_len, group_len, count, xattrs, chunks = fields[7:]
        if rdev or target_len or group_len or xattrs or chunks > 1 or not 0 < count <= _MOST_REPLICAS:
            return None
        after = at + author_len
        version = _DOTS[count].unpack_from(packed, after)
        digest = packed[after + count * _DOT :]
        if digest and int.from_bytes(digest[_HASH:], "big") != size:
            return None
        replicas, counters = version[::2], version[1::2]
        for writer in range(count):
            if dot == [replicas[writer], counters[writer]]:
                break
        else:
            return None
        wide = size >= _NARROWEST or max(counters) >= _NARROWEST
        number = self._number(fields, (packed[1:_OWNERS_END], writer, replicas, packed[at:after], wide))
        if number is None:
            return None
        return _form(wide, count).pack(number, fields[5], fields[6], size, *counters) + digest[:_HASH]

    def entry(self, path: TreePath, record: bytes) -> Entry:
        """The entry again."""
        if record[:2] == _WHOLE:
            head = 2 + CODED_HEAD.size
            return unpack_entry(record[2:head] + path + record[head:])[0]
        common = self._common[_NUMBER.unpack_from(record)[0]]
        form = common.form
        _, seconds, ns, size, *counters = form.unpack_from(record)
        digest = record[form.size :]
        dots = tuple(zip(common.replicas, counters, strict=True))
        return Entry(
            path=path,
            kind=common.kind,
            mode=common.mode,
            uid=common.uid,
            gid=common.gid,
            mtime_ns=seconds * 1_000_000_000 + ns,
            size=size,
            chunks=digest + size.to_bytes(CHUNK_RECORD - _HASH, "big") if digest else b"",
            version=VersionVector(dots),
            author=common.author,
            dot=dots[common.writer],
        )

    def kind_and_size(self, record: bytes) -> tuple[Kind, int]:
        """What counting needs."""
        if record[:2] == _WHOLE:
            fields = CODED_HEAD.unpack_from(record, 2)
            return Kind(fields[1]), int(fields[7])
        common = self._common[_NUMBER.unpack_from(record)[0]]
        return common.kind, int(common.form.unpack_from(record)[3])

    def _number(self, fields: tuple[int, ...], key: _Key) -> int | None:
        """Which common part it is; None where there are too many to hold another."""
        number = self._numbers.get(key)
        if number is None:
            number = len(self._common)
            if number >= _MOST_COMMON:
                return None
            self._numbers[key] = number
            kind, mode, uid, gid = fields[1:5]
            _, writer, replicas, author, wide = key
            self._common.append(_Common(Kind(kind), mode, uid, gid, writer, replicas, author.decode(), wide))
        return number


_OWNERS_END = 12
"""In a packed entry: kind, mode, uid and gid end here."""
_DOT = 16
"""Bytes of one replica's part of a version."""
assert struct.calcsize(">BBHII") == _OWNERS_END
