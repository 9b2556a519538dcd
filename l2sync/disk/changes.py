"""What a transaction of the index writes, table by table."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from l2sync.modtree import CHUNK_RECORD, Entry, TreePath


@dataclass(slots=True)
class Change:
    """What a transaction writes, by table."""

    rows: list[tuple[int, TreePath, int, bytes, bytes]] = field(default_factory=list)
    gone: list[tuple[int, int, int]] = field(default_factory=list)
    made: list[tuple[int, int, int]] = field(default_factory=list)
    parted: list[tuple[bytes, int]] = field(default_factory=list)
    linked: list[tuple[bytes, int]] = field(default_factory=list)

    def add(self, number: int, entry: Entry, before: Entry | None) -> None:
        """What of an entry is held beside its row, which was ``before``."""
        if entry.link_group:
            self.linked.append((entry.link_group, number))
        if before is None:
            self._make(number, entry)
            return
        if before.link_group and before.link_group != entry.link_group:
            self.parted.append((before.link_group, number))
        if before.chunks != entry.chunks:
            self.gone += chunk_rows(number, before)
            self._make(number, entry)

    def _make(self, number: int, entry: Entry) -> None:
        only = entry.only_hash
        if only is not None:
            self.made.append((short_hash(only), number, 0))
        elif entry.chunks:
            self.made += chunk_rows(number, entry)


def short_hash(digest: bytes) -> int:
    """What of a chunk's hash the index is searched by."""
    return int.from_bytes(digest[:8], "big", signed=True)


def chunk_rows(number: int, entry: Entry) -> Iterator[tuple[int, int, int]]:
    """An entry's rows in the table of chunks."""
    offset = 0
    packed = entry.chunks
    for at in range(0, len(packed), CHUNK_RECORD):
        yield short_hash(packed[at : at + 8]), number, offset
        offset += int.from_bytes(packed[at + 32 : at + CHUNK_RECORD], "big")
