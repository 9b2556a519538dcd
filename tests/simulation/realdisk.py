"""A tree on a real file system, in the place of a disk in memory: what only an inode can show."""

from __future__ import annotations

from pathlib import Path

from l2sync.disk import TreeOptions, TreeStore
from l2sync.modtree import ModTree, TreePath
from l2sync.node import api

_NAME = "www"


class RealDisk:
    """As `disk.SimDisk` for a world's host; a user's changes are made at `root`. ``replica``: under which it writes."""

    def __init__(self, base: Path, name: str, replica: int) -> None:
        self.root = base / name
        self.root.mkdir()
        self.staged: dict[tuple[int, int], object] = {}
        self._whole = False
        """Whether the look that comes in portions is one at all of the tree."""
        self._store = TreeStore.open(_NAME, self.root, base / f"{name}-state", TreeOptions(), name)
        self._store.new_replica(replica)  # of two changes with one time, the greater wins

    def close(self) -> None:
        """Let go of the index."""
        self._store.close()

    def setup(self) -> api.TreeSetup:
        """What the node starts from."""
        store = self._store
        return api.TreeSetup(_NAME, str(self.root), store.replica, store.counter, ModTree(store.load()))

    def scan(self, paths: tuple[TreePath, ...] | None) -> api.Observed:
        """Whatever differs from the index."""
        if paths is None:
            return self._look_on(anew=True)
        found, more = self._store.look_at(paths)
        self._whole &= not more
        return api.Observed(_NAME, tuple(found), False, dict(self._store.unreadable), more)

    def _look_on(self, anew: bool) -> api.Observed:
        self._whole |= anew
        found, more = self._store.look_on(anew)
        return api.Observed(_NAME, tuple(found), self._whole and not more, dict(self._store.unreadable), more)

    def handle(self, request: object) -> object | None:
        """Carry out one request; returns the event that answers it."""
        store = self._store
        match request:
            case api.Persist(_, entries, counter):
                store.persist(entries, counter)
            case api.Together(_, wall):
                store.note_together(wall)
            case api.Forget(_, paths):
                store.forget(paths)
            case api.Rescan(_, paths):
                return self.scan(paths)
            case api.LookOn():
                return self._look_on(anew=False)
            case api.Prepare(_, key, entries, chunks):
                prepared = store.prepare(key, entries, list(chunks))
                return api.Prepared(_NAME, key, tuple(prepared.missing), dict(prepared.failed))
            case api.Store(_, key, chunks):
                store.store(key, chunks)
                return api.Stored(_NAME, key, sum(len(data) for _, data in chunks))
            case api.Commit(_, key, targets, last):
                done = store.commit(key, targets, last)
                return api.Committed(_NAME, key, tuple(done.applied), tuple(done.changed), dict(done.failed))
            case api.Discard(_, key):
                store.discard(key)
            case api.ReadChunks(_, key, reads):
                wanted = [(r.index, r.path, r.offset, r.length, r.digest) for r in reads]
                return api.ChunksRead(_NAME, key, tuple(store.read_chunks(wanted)))
        return None

    def tree(self) -> dict[bytes, tuple[object, ...]]:
        """All there is: kind and mode, content, time, and the first name of the inode."""
        found: dict[bytes, tuple[object, ...]] = {}
        first: dict[int, bytes] = {}
        for path in sorted(self.root.rglob("*")):
            name, status = bytes(path.relative_to(self.root)), path.lstat()
            if name.split(b"/")[0] == b".l2sync":
                continue
            leader = first.setdefault(status.st_ino, name)
            if path.is_file():
                found[name] = (status.st_mode, path.read_bytes(), status.st_mtime_ns, leader)
            else:
                found[name] = (status.st_mode, b"", 0, leader)
        return found
