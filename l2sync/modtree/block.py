"""What a directory's children are held in: names, records and digests side by side, found by searching bytes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TypeAlias

from blake3 import blake3

_NAME_HASH = 8
_MOST_IN_ONE = 256
"""Children beyond which a directory is divided by the hashes of their names, first into 16 blocks: a block costs 300
bytes whatever is in it."""
_MOST_IN_PART = 512
"""Children in one of these beyond which there are 256."""
_BUCKETS = 256
DIGEST = 32
Row: TypeAlias = tuple[bytes, bytes, bytes]
"""A child's name, record and digest."""
Buckets: TypeAlias = dict[int, list[Row] | bytes]
"""Children by the first bytes of their names' hashes; the digest of a bucket where it is known."""
NO_ENTRY = bytes(DIGEST)
_END = b"/"
"""No name holds it, so that searching for a name between two of them finds that name alone."""


def name_hash(child: bytes) -> bytes:
    """Eight bytes by which a directory orders its children."""
    return blake3(child).digest(length=_NAME_HASH)


def first_byte(child: bytes) -> int:
    """The bucket that a name belongs to."""
    return blake3(child).digest(length=1)[0]


class Block:
    """Children in the order they came; an empty record stands for one that has no entry, only others below it."""

    __slots__ = ("_digests", "_names", "records")

    def __init__(self) -> None:
        self._names = bytearray(_END)
        self._digests = bytearray()
        self.records: list[bytes] = []

    def __len__(self) -> int:
        return len(self.records)

    def find(self, name: bytes) -> int:
        """Where a child is; -1 if it is not here."""
        at = self._names.find(_END + name + _END)
        return -1 if at < 0 else self._names.count(_END, 0, at)

    def names(self) -> list[bytes]:
        """All of them."""
        return bytes(self._names).split(_END)[1:-1]

    def digest(self, at: int) -> bytes:
        """The digest of a child's entry."""
        return bytes(self._digests[at * DIGEST : (at + 1) * DIGEST])

    def rows(self) -> Iterator[Row]:
        """Name, record and digest of each."""
        digests = bytes(self._digests)
        for at, (name, record) in enumerate(zip(self.names(), self.records, strict=True)):
            yield name, record, digests[at * DIGEST : (at + 1) * DIGEST]

    def add(self, name: bytes, record: bytes = b"", digest: bytes = NO_ENTRY) -> None:
        """One more child, which is not here yet."""
        self._names += name + _END
        self._digests += digest
        self.records.append(record)

    def set(self, at: int, record: bytes, digest: bytes) -> None:
        """Another record for a child."""
        self.records[at] = record
        self._digests[at * DIGEST : (at + 1) * DIGEST] = digest

    def drop(self, name: bytes) -> None:
        """Forget a child that is here."""
        at = self.find(name)
        start = self._names.find(_END + name + _END)
        del self._names[start : start + len(name) + 1]
        del self._digests[at * DIGEST : (at + 1) * DIGEST]
        del self.records[at]


class Children:
    """A directory's children: in one block while they are few, else in one for each beginning of a name's hash."""

    __slots__ = ("_bits", "_known", "_parts", "_stale", "_whole", "digest")

    def __init__(self) -> None:
        self._whole: Block | None = Block()
        self._parts: dict[int, Block] = {}
        self._bits = 0
        """Of a name's hash, to tell its part."""
        self._known: bytearray | None = None
        """The digests of a divided directory's buckets; zeros for what is not known, or empty."""
        self._stale = 0
        """A bit for each part of which not all digests are known."""
        self.digest: bytes | None = None
        """What is known of the directory and all below it. While it is not known, neither is that of any above."""

    def __bool__(self) -> bool:
        return bool(self._whole) if self._whole is not None else bool(self._parts)

    def find(self, name: bytes) -> tuple[Block, int] | None:
        """The block that a child is in, and where."""
        block = self._whole if self._whole is not None else self._parts.get(self._part(name))
        at = -1 if block is None else block.find(name)
        return None if block is None or at < 0 else (block, at)

    def add(self, name: bytes, record: bytes = b"", digest: bytes = NO_ENTRY) -> None:
        """One more child, which is not here yet."""
        if self._whole is not None and len(self._whole) >= _MOST_IN_ONE:
            self._divide(4)
        if self._whole is not None:
            self._whole.add(name, record, digest)
            return
        part = self._parts.setdefault(self._part(name), Block())
        part.add(name, record, digest)
        if self._bits == 4 and len(part) > _MOST_IN_PART:
            self._divide(8)

    def drop(self, name: bytes) -> None:
        """Forget a child that is here."""
        if self._whole is not None:
            self._whole.drop(name)
            return
        number = self._part(name)
        self._parts[number].drop(name)
        if not self._parts[number]:
            del self._parts[number]

    def changed(self, name: bytes) -> bool:
        """A child is another now: whether any digest was known that says otherwise."""
        told = self.digest is not None
        self.digest = None
        if self._known is None:
            return told
        byte = first_byte(name)
        self._stale |= 1 << (byte >> 8 - self._bits)
        place = slice(byte * DIGEST, (byte + 1) * DIGEST)
        told = told or self._known[place] != NO_ENTRY
        self._known[place] = NO_ENTRY
        return told

    def names(self) -> Iterator[bytes]:
        """All of them, in no order."""
        for block in self._blocks():
            yield from block.names()

    def rows(self) -> Iterator[Row]:
        """Name, record and digest of each, in no order."""
        for block in self._blocks():
            yield from block.rows()

    def buckets(self) -> Buckets:
        """All of them, or their digests where these are known."""
        found: Buckets = {}
        if self._known is not None:
            for byte in range(_BUCKETS):
                digest = bytes(self._known[byte * DIGEST : (byte + 1) * DIGEST])
                if digest != NO_ENTRY:
                    found[byte] = digest
        unknown: dict[int, list[Row]] = {}
        stale = [block for part, block in self._parts.items() if self._stale >> part & 1]
        for block in stale if self._whole is None else [self._whole]:
            for row in block.rows():
                byte = first_byte(row[0])
                if byte not in found:
                    unknown.setdefault(byte, []).append(row)
        found.update(unknown)
        return found

    def know(self, digests: Mapping[int, bytes]) -> None:
        """The digests of all buckets; kept where the directory is divided."""
        if self._known is not None:
            for byte, digest in digests.items():
                self._known[byte * DIGEST : (byte + 1) * DIGEST] = digest
            self._stale = 0

    def under(self, prefix: bytes) -> list[bytes]:
        """The names whose hashes start with these nibbles."""
        names = [name for block in self._blocks(prefix) for name in block.names()]
        return names if self._decides(prefix) else [name for name in names if _starts(name, prefix)]

    def rows_under(self, prefix: bytes) -> list[Row]:
        """Name, record and digest of those."""
        rows = [row for block in self._blocks(prefix) for row in block.rows()]
        return rows if self._decides(prefix) else [row for row in rows if _starts(row[0], prefix)]

    def _part(self, name: bytes) -> int:
        return first_byte(name) >> 8 - self._bits

    def _divide(self, bits: int) -> None:
        rows, self._parts = list(self.rows()), {}
        self._whole, self._bits = None, bits
        for row in rows:
            self._parts.setdefault(self._part(row[0]), Block()).add(*row)
        # Digests are of buckets, which stay what they are; but which of them are known is asked part by part.
        self._known = self._known or bytearray(_BUCKETS * DIGEST)
        self._stale = (1 << (1 << bits)) - 1

    def _decides(self, prefix: bytes) -> bool:
        """Whether a block holds nothing but what a prefix is for."""
        return len(prefix) * 4 <= self._bits

    def _blocks(self, prefix: bytes = b"") -> list[Block]:
        if self._whole is not None:
            return [self._whole]
        form, known = (b"%x", prefix[:1]) if self._bits == 4 else (b"%02x", prefix[:2])
        return [block for part, block in self._parts.items() if (form % part).startswith(known)]


def _starts(name: bytes, prefix: bytes) -> bool:
    return name_hash(name).hex().encode().startswith(prefix)
