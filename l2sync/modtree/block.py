"""What a directory's children are held in: names, records and digests side by side, found by searching bytes."""

from __future__ import annotations

from collections.abc import Iterator

from blake3 import blake3

_NAME_HASH = 8
_MOST_IN_ONE = 64
"""Children beyond which a directory is divided by the hashes of their names."""
DIGEST = 32
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

    def rows(self) -> Iterator[tuple[bytes, bytes, bytes]]:
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
    """A directory's children: in one block while they are few, else in one for each first byte of their hashes."""

    __slots__ = ("_parts", "_whole", "digest", "digests")

    def __init__(self) -> None:
        self._whole: Block | None = Block()
        self._parts: dict[int, Block] = {}
        self.digests: dict[int, bytes] = {}
        """What is known of the buckets of a divided directory."""
        self.digest: bytes | None = None
        """What is known of the directory and all below it. While it is not known, neither is that of any above."""

    def __bool__(self) -> bool:
        return bool(self._whole) if self._whole is not None else bool(self._parts)

    def find(self, name: bytes) -> tuple[Block, int] | None:
        """The block that a child is in, and where."""
        block = self._whole if self._whole is not None else self._parts.get(first_byte(name))
        at = -1 if block is None else block.find(name)
        return None if block is None or at < 0 else (block, at)

    def add(self, name: bytes, record: bytes = b"", digest: bytes = NO_ENTRY) -> None:
        """One more child, which is not here yet."""
        if self._whole is not None and len(self._whole) >= _MOST_IN_ONE:
            whole, self._whole = self._whole, None
            for row in whole.rows():
                self.add(*row)
        if self._whole is not None:
            self._whole.add(name, record, digest)
        else:
            self._parts.setdefault(first_byte(name), Block()).add(name, record, digest)

    def drop(self, name: bytes) -> None:
        """Forget a child that is here."""
        if self._whole is not None:
            self._whole.drop(name)
            return
        byte = first_byte(name)
        self._parts[byte].drop(name)
        if not self._parts[byte]:
            del self._parts[byte]

    def changed(self, name: bytes) -> bool:
        """A child is another now: whether any digest was known that says otherwise."""
        told = self.digest is not None
        self.digest = None
        return (bool(self.digests) and self.digests.pop(first_byte(name), None) is not None) or told

    def names(self) -> Iterator[bytes]:
        """All of them, in no order."""
        for block in self._blocks():
            yield from block.names()

    def rows(self) -> Iterator[tuple[bytes, bytes, bytes]]:
        """Name, record and digest of each, in no order."""
        for block in self._blocks():
            yield from block.rows()

    def buckets(self) -> dict[int, list[tuple[bytes, bytes, bytes]] | None]:
        """The children by the first bytes of their hashes; None for a bucket whose digest is known."""
        if self._whole is None:
            parts = self._parts.items()
            return {byte: None if byte in self.digests else list(block.rows()) for byte, block in parts}
        found: dict[int, list[tuple[bytes, bytes, bytes]]] = {}
        for row in self._whole.rows():
            found.setdefault(first_byte(row[0]), []).append(row)
        return dict(found)

    def know(self, byte: int, digest: bytes) -> None:
        """The digest of a bucket; kept where the directory is divided."""
        if self._whole is None:
            self.digests[byte] = digest

    def under(self, prefix: bytes) -> list[bytes]:
        """The names whose hashes start with these nibbles."""
        names = [name for block in self._blocks(prefix) for name in block.names()]
        return names if self._decides(prefix) else [name for name in names if _starts(name, prefix)]

    def rows_under(self, prefix: bytes) -> list[tuple[bytes, bytes, bytes]]:
        """Name, record and digest of those."""
        rows = [row for block in self._blocks(prefix) for row in block.rows()]
        return rows if self._decides(prefix) else [row for row in rows if _starts(row[0], prefix)]

    def _decides(self, prefix: bytes) -> bool:
        """Whether a block holds nothing but what a prefix is for."""
        return not prefix or (self._whole is None and len(prefix) <= 2)

    def _blocks(self, prefix: bytes = b"") -> list[Block]:
        if self._whole is not None:
            return [self._whole]
        return [block for byte, block in self._parts.items() if (b"%02x" % byte).startswith(prefix[:2])]


def _starts(name: bytes, prefix: bytes) -> bool:
    return name_hash(name).hex().encode().startswith(prefix)
