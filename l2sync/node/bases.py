"""Lists of chunks that receivers know: what large entries of our own are told as changes of."""

from __future__ import annotations

from l2sync.modtree import CHUNK_RECORD, LEAST_CHUNKS, Entry, Kind, TreePath, digest_of, pack_entry, pack_patch

_MOST_BYTES = 16 << 20
_MOST_PATHS = 100_000


class Bases:
    """What recent changes of our own took away from paths: receivers have it until they commit these changes."""

    def __init__(self) -> None:
        self._lists: dict[TreePath, bytes] = {}
        self._paths: dict[bytes, TreePath] = {}
        self._size = 0

    def note(self, old: Entry | None) -> None:
        """This is replaced or removed now."""
        if old is None or old.kind is not Kind.FILE or not old.chunks or len(self._paths) >= _MOST_PATHS:
            return
        self._paths.setdefault(digest_of(old.chunks), old.path)
        size = len(old.chunks)
        if size >= LEAST_CHUNKS * CHUNK_RECORD and old.path not in self._lists and self._size + size <= _MOST_BYTES:
            self._size += size
            self._lists[old.path] = old.chunks

    def came_from(self, entry: Entry) -> TreePath | None:
        """The path at which the content of an entry stood before, whole."""
        if not entry.chunks or not self._paths:
            return None
        path = self._paths.get(digest_of(entry.chunks))
        return path if path != entry.path else None

    def pack(self, entry: Entry) -> bytes:
        """The entry as it is told: as a patch where that saves much."""
        path = self.came_from(entry) or entry.path
        known = self._lists.get(path)
        return (pack_patch(entry, path, known) if known is not None else None) or pack_entry(entry)

    def clear(self) -> None:
        """All of it was told."""
        self._lists.clear()
        self._paths.clear()
        self._size = 0
