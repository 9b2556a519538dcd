"""A commit as l2sync.disk.applier does it, step by step."""

from __future__ import annotations

from dataclasses import dataclass, field

from l2sync.modtree import ROOT, Entry, Kind, Order, Target, TreePath, covers, parent
from l2sync.node import api

from .store import NOTHING, Staged, Steps, Store, label_of, look_of, packed_chunks
from .volume import Inode


@dataclass
class Applying:
    """One commit on its way."""

    store: Store
    key: api.BatchKey
    batch: Staged
    jobs: dict[TreePath, Entry] = field(default_factory=dict)
    ready: dict[TreePath, Inode] = field(default_factory=dict)
    done: list[Entry] = field(default_factory=list)
    changed: list[TreePath] = field(default_factory=list)
    failed: dict[TreePath, str] = field(default_factory=dict)
    touched: set[TreePath] = field(default_factory=set)
    beyond: bool = False

    def take(self, targets: tuple[Target, ...]) -> None:
        """Leave out what need not or must not be done."""
        for target in targets:
            entry, row = target.entry, self.store.index.get(target.entry.path)
            reason = next((why for bad, why in self.store.refused.items() if covers(bad, entry.path)), None)
            if row is not None and unseen_version(row, entry):
                self.changed.append(entry.path)
            elif row is not None and not row.deleted and row.same_state(entry):
                self.done.append(entry)
            elif reason is not None:
                self.failed[entry.path] = reason
            else:
                self.jobs[entry.path] = entry

    def before(self, path: TreePath) -> Entry | None:
        return self.store.index.alive(path)

    def was_dir(self, path: TreePath) -> bool:
        before = self.before(path)
        return before is not None and before.kind is Kind.DIR

    def judge(self, entry: Entry) -> bool:
        """Whether the job may go on: what stands there is what the index knows."""
        there = self.store.observe(entry.path).look()
        if there == look_of(entry) and (entry.deleted or entry.kind is not Kind.DIR):
            self.beyond = True
            self.finish(entry)
            return False
        if self.undisturbed(entry, there):
            return True
        self.give_up(entry)
        return False

    def undisturbed(self, entry: Entry, there: tuple[object, ...]) -> bool:
        """Nothing was done here that the index does not know of."""
        return there in (look_of(self.before(entry.path)), look_of(entry))

    def give_up(self, entry: Entry) -> None:
        self.changed.append(entry.path)
        self.jobs.pop(entry.path, None)

    def finish(self, entry: Entry) -> None:
        self.done.append(entry)
        self.jobs.pop(entry.path, None)
        if entry.path != ROOT:
            self.touched.add(parent(entry.path))

    def supply(self, entry: Entry) -> None:
        """Have the content ready aside."""
        before = self.before(entry.path)
        if entry.kind is Kind.LINK:
            self.ready[entry.path] = Inode(Kind.LINK, mode=entry.mode, mtime_ns=entry.mtime_ns, target=entry.target)
            return
        if before is not None and before.same_content(entry):
            return
        own = self.batch.files.get(entry.path)
        if (
            own is not None
            and self.batch.complete(entry.path)
            and self.batch.entries[entry.path].chunks == entry.chunks
        ):
            own.change(mode=entry.mode, mtime_ns=entry.mtime_ns)
            self.ready[entry.path] = own
            return
        data = self.find(entry)
        if data is None:
            self.failed[entry.path] = "its content is not at hand"
            del self.jobs[entry.path]
        else:
            self.ready[entry.path] = Inode(Kind.FILE, data, entry.mode, entry.mtime_ns)

    def find(self, entry: Entry) -> bytes | None:
        if not entry.size:
            return b""
        staged = [inode for path, inode in self.batch.files.items() if self.batch.complete(path)]
        for inode in (*staged, *self.store.volume.live.values()):
            if inode.kind is Kind.FILE and packed_chunks(inode.data) == entry.chunks:
                return inode.data
        return None

    def make_directory(self, entry: Entry) -> None:
        volume = self.store.volume
        if volume.is_dir(entry.path):
            self.beyond |= self.before(entry.path) is None
            return
        if not self.enter(entry):
            return
        if entry.path in volume.live and not self.judge(entry):
            return
        volume.set((entry.path, Inode(Kind.DIR, mode=0o700)))

    def enter(self, entry: Entry) -> bool:
        """Whether the directory is there that the job is in."""
        above = parent(entry.path)
        if entry.path == ROOT or self.store.volume.is_dir(above):
            return True
        row = self.store.index.get(above)
        if row is not None and row.kind is Kind.DIR and above not in self.failed:
            self.give_up(entry)
        else:
            self.failed[entry.path] = "the directory above it could not be made"
            self.jobs.pop(entry.path, None)
        return False

    def place(self, entry: Entry) -> None:
        volume = self.store.volume
        if not self.was_dir(entry.path) and not self.judge(entry):
            return
        if not self.enter(entry):
            return
        if self.was_dir(entry.path) and not volume.is_dir(entry.path):
            self.give_up(entry)
            return
        inode = self.ready.get(entry.path)
        if inode is None:
            volume.live[entry.path].change(mode=entry.mode, mtime_ns=entry.mtime_ns)
            self.beyond = True
        elif volume.below(entry.path):
            self.give_up(entry)
            return
        else:
            volume.set((entry.path, inode))
            self.store.shown.append((entry.path, inode))
        self.finish(entry)

    def remove(self, entry: Entry) -> None:
        volume = self.store.volume
        if not self.was_dir(entry.path) and not self.judge(entry):
            return
        if entry.path in volume.live:
            if self.was_dir(entry.path) and not volume.is_dir(entry.path):
                self.give_up(entry)
                return
            if volume.below(entry.path):
                self.give_up(entry)
                return
            volume.set((entry.path, None))
        self.finish(entry)

    def finish_directory(self, entry: Entry) -> None:
        if not self.store.volume.is_dir(entry.path):
            self.give_up(entry)
            return
        self.store.volume.live[entry.path].change(mode=entry.mode, mtime_ns=entry.mtime_ns)
        self.touched.add(entry.path)
        self.finish(entry)

    def sync_content(self) -> None:
        """The bytes are durable before they get their names."""
        for inode in self.ready.values():
            inode.sync()

    def sync_names(self) -> None:
        """The names are durable before the index says so."""
        if self.beyond:
            self.store.volume.sync_all()
        for path in self.touched:
            self.store.volume.sync_directory(path)


def commit(store: Store, key: api.BatchKey, targets: tuple[Target, ...], last: bool) -> Steps:
    """All of it; yields before each step."""
    label = label_of(key)
    store.staged.setdefault(key, Staged([], {}))
    known = store.staged[key].entries
    fresh = [t.entry for t in targets if known.get(t.entry.path) != t.entry]
    store.index.lazily(journal=store.index.journal + [(label, entry) for entry in fresh])
    work = Applying(store, key, store.staged[key])
    work.take(targets)
    yield from _place_all(work)
    yield
    work.sync_names()
    yield
    if store.full:
        raise_paused(store)
    store.put(work.done, batch=label if last else None)
    if last:
        store.staged.pop(key, None)
    store.forget_leftovers(entry.path for entry in work.done)
    return api.Committed(store.name, key, tuple(work.done), tuple(work.changed), work.failed)


def raise_paused(store: Store) -> None:
    store._check_room()


def _place_all(work: Applying) -> Steps:
    directories = [e for e in work.jobs.values() if e.kind is Kind.DIR]
    for entry in sorted(work.jobs.values(), key=lambda e: e.path):
        if entry.kind is Kind.DIR or work.was_dir(entry.path):
            there = work.store.observe(entry.path).look()
            if entry.deleted and there == NOTHING:
                work.finish(entry)
            elif not work.undisturbed(entry, there):
                work.give_up(entry)
    placed = sorted((e for e in work.jobs.values() if e.kind in (Kind.FILE, Kind.LINK)), key=lambda e: e.path)
    for entry in placed:
        yield
        if work.store.full:
            raise_paused(work.store)
        work.supply(entry)
    yield
    work.sync_content()
    for entry in sorted(directories, key=lambda e: e.path):
        if entry.path in work.jobs:
            yield
            work.make_directory(entry)
    late = [e for e in placed if work.was_dir(e.path)]
    removed = sorted((e for e in work.jobs.values() if e.deleted), key=lambda e: e.path, reverse=True)
    for entry in (e for e in placed if e not in late):
        if entry.path in work.jobs:
            yield
            work.place(entry)
    for entry in removed:
        if entry.path in work.jobs:
            yield
            work.remove(entry)
    for entry in late:
        if entry.path in work.jobs:
            yield
            work.place(entry)
    for entry in sorted(directories, key=lambda e: e.path, reverse=True):
        if entry.path in work.jobs:
            yield
            work.finish_directory(entry)
    return None


def unseen_version(known: Entry, entry: Entry) -> bool:
    """Whether the index knows a version that the entry was made without."""
    return known.version.compare(entry.version) in (Order.AFTER, Order.CONCURRENT) and not known.same_state(entry)
