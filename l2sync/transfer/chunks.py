"""The chunks of a batch, numbered alike at its origin and at every receiver."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from l2sync.modtree import Chunk, Entry


@dataclass(slots=True)
class ChunkTable:
    """Distinct chunks in the order in which the batch's entries first name them."""

    chunks: list[Chunk] = field(default_factory=list)
    index: dict[bytes, int] = field(default_factory=dict)
    _places: list[tuple[int, int]] = field(default_factory=list)

    def where(self, index: int) -> tuple[int, int]:
        """An entry (by its place in the batch) that has the chunk, and the chunk's offset in it, in bytes."""
        return self._places[index]

    def __len__(self) -> int:
        return len(self.chunks)


def chunk_table(entries: Iterable[Entry]) -> ChunkTable:
    """Number the chunks of a batch."""
    table = ChunkTable()
    index, chunks, places = table.index, table.chunks, table._places
    for place, entry in enumerate(entries):
        only = entry.only_hash
        if only is not None:
            if index.setdefault(only, len(chunks)) == len(chunks):
                chunks.append(Chunk(only, entry.size))
                places.append((place, 0))
            continue
        offset = 0
        for chunk in entry.chunk_list():
            if chunk.hash not in index:
                index[chunk.hash] = len(chunks)
                chunks.append(chunk)
                places.append((place, offset))
            offset += chunk.length
    return table


def ranges_of(indexes: Iterable[int]) -> list[tuple[int, int]]:
    """Ascending numbers as inclusive ranges."""
    found: list[tuple[int, int]] = []
    for index in indexes:
        if found and found[-1][1] == index - 1:
            found[-1] = (found[-1][0], index)
        else:
            found.append((index, index))
    return found
