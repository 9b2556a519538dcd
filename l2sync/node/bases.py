"""Lists of chunks that receivers know: what large entries of our own are told as changes of."""

from __future__ import annotations

from l2sync.modtree import CHUNK_RECORD, LEAST_CHUNKS, Entry, Kind, TreePath, digest_of, pack_entry, pack_patch

_MOST_BYTES = 16 << 20


class Bases:
    """What recent changes of our own took away from paths: receivers have it until they commit these changes."""

    def __init__(self) -> None:
        self._lists: dict[TreePath, bytes] = {}
        self._paths: dict[bytes, TreePath] = {}
        self._size = 0

    def note(self, old: Entry | None) -> None:
        """This is replaced or removed now."""
        if old is None or old.kind is not Kind.FILE or len(old.chunks) < LEAST_CHUNKS * CHUNK_RECORD:
            return
        if old.path in self._lists or self._size + len(old.chunks) > _MOST_BYTES:
            return
        self._size += len(old.chunks)
        self._lists[old.path] = old.chunks
        self._paths.setdefault(digest_of(old.chunks), old.path)

    def pack(self, entry: Entry) -> bytes:
        """The entry as it is told: as a patch where that saves much."""
        path = self._paths.get(digest_of(entry.chunks), entry.path) if entry.chunks and self._lists else entry.path
        known = self._lists.get(path)
        return (pack_patch(entry, path, known) if known is not None else None) or pack_entry(entry)

    def clear(self) -> None:
        """All of it was told."""
        self._lists.clear()
        self._paths.clear()
        self._size = 0
