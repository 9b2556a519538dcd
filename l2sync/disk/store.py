"""One tree on disk, with its index: what the node's disk requests are carried out by. Used by one thread at a time."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeAlias

from l2sync.modtree import PRIVATE, Chunk, Entry, Observation, Target, TreePath, unpack_entry

from .applier import Applier, CommitResult
from .aside import set_aside
from .beneath import Beneath, Directories
from .explain import Seen, look_at
from .freeing import Freeing
from .guard import Guard, Paused, no_room
from .ignore import Ignore
from .index import Index, Noted
from .leftovers import Leftovers
from .looking import Looking
from .mounts import Mounts, View, clean
from .options import TreeOptions
from .preparing import Preparation, Prepared
from .recovery import adopt
from .restoring import restore, wanted
from .serving import read_chunks
from .staging import StagedBatch
from .versions import Kept, Versions, kept_versions

BatchKey: TypeAlias = tuple[int, int]
_OUR_FAULT = (sqlite3.ProgrammingError, sqlite3.IntegrityError, sqlite3.NotSupportedError)


class TreeStore:
    """The verbs that the node's disk requests name. All raise Paused while the tree cannot be trusted."""

    def __init__(self, index: Index, guard: Guard, options: TreeOptions, node_name: str, name: str) -> None:
        self.options = options
        self.node_name = node_name
        self.held = False
        """Whether a user's decision is needed, as the last `health` found."""
        self.outdated = False
        """Whether the index was older than the tree when it was opened."""
        self.freeing = Freeing()
        """What commits have replaced or removed and is still to be freed, which whatever writes sees to first."""
        self._index = index
        self._guard = guard
        self._ignore = Ignore(options.ignore)
        self._mounts = Mounts(name, guard.root, index, options.cross_mounts)
        self._leftovers = Leftovers(index)
        self._versions = Versions(options.keep_versions_ns, options.keep_versions_bytes)
        self._looking = Looking(index, guard, self._mounts, self._ignore, options.devices, self._versions)
        self.ignored = self._looking.ignored
        """Which directories are not looked at; for the watcher."""
        self._recovered = False
        self._index_failed = False
        self._batches: dict[BatchKey, StagedBatch] = {}

    @classmethod
    def open(cls, name: str, root: Path, state_dir: Path, options: TreeOptions, node_name: str) -> TreeStore:
        """Open the index at ``<state_dir>/trees/<name>.db`` (made when missing), and end what a crash cut short.

        A root that cannot be used is no error here: `health` tells. Raises sqlite3.Error, OSError for the index.
        """
        index = Index(state_dir / "trees" / f"{name}.db")
        store = cls(index, Guard(root, index), options, node_name, name)
        with suppress(Paused):
            beneath = store._guard.check()
            if store._guard.fallen_back():
                store.new_replica()  # what was written since under the old number is known elsewhere
                store.outdated = True
            with store._entered(beneath):
                store._recover(beneath, at_start=True)
            store._mounts.remounted()
        return store

    @property
    def replica(self) -> int:
        """Under which number this index's own writes are counted."""
        return self._index.replica

    @property
    def counter(self) -> int:
        """The highest number given to a write so far."""
        return self._index.counter

    def packed(self) -> Iterator[bytes]:
        """Every entry of the index as it is packed, tombstones too, in no order."""
        return self._index.packed()

    def load(self) -> Iterator[Entry]:
        """The same, unpacked."""
        return (unpack_entry(packed)[0] for packed in self._index.packed())

    def new_replica(self, replica: int | None = None, counter: int = 0) -> int:
        """Write from now on under this replica (None: a new random one), which is returned. Raises Paused."""
        with self._index_errors():
            chosen = self._index.renew(replica, counter)
            self._guard.wrote()
            return chosen

    def health(self) -> str | None:
        """Why the tree is paused; None when it is well."""
        self.held = False
        self.freeing.finish()
        try:
            with self._index_errors():
                if self._index_failed:
                    self._index.reconnect()
                    self._index_failed = False
                self._index.read_again()
                self._guard.check()
                self._guard.advance()
        except Paused as paused:
            self.held = paused.held
            return paused.reason
        return None

    def remounted(self) -> bool:
        """Whether something was mounted or unmounted within the tree since this was last asked; `mounts` tells what."""
        if self._mounts.stale:
            with suppress(Paused), self._trusted():
                pass  # looks, as each operation does
        return self._mounts.remounted()

    @property
    def mounts(self) -> View:
        """What was found mounted within the tree. In any thread."""
        return self._mounts.view

    def allow_mount(self, path: TreePath) -> str | None:
        """An administrator says that what is (not) mounted at ``path`` is right; what that means, None if it was known.

        Raises NotCrossed, Paused.
        """
        with self._trusted() as beneath:
            return self._mounts.allow(path, beneath)

    @property
    def together(self) -> int | None:
        """When the tree was last the same as the others', in seconds since 1970."""
        return self._index.together

    @property
    def lost(self) -> bool:
        """Whether the tree was kept in sync before, and what was known of it is lost."""
        return self._guard.lost

    def note_together(self, wall: int | None) -> None:
        """The tree is the same as the others'; ``wall``: seconds since 1970, None: nobody knows."""
        with self._index_errors():
            if wall is not None:
                self._index.set_meta("together", str(wall))
            self._index.set_meta("lost", "")
            self._guard.lost = False

    def forget(self, paths: Iterable[TreePath]) -> None:
        """Have nothing in the index of these paths any more."""
        with self._index_errors():
            self._index.forget(paths)

    def set_aside(self, paths: Iterable[TreePath]) -> list[Path]:
        """Move what stands at these paths into directories of the tree's own, one for each file system; forget them."""
        with self._trusted() as beneath:
            paths = list(paths)
            places = set_aside(beneath, paths)
            self._index.forget(paths)
            return [self._guard.root / os.fsdecode(place) for place in places]

    def accept(self) -> None:
        """A user says that what stands at the root is the tree. Raises Paused."""
        with self._index_errors():
            self._guard.accept()

    def explain(self, path: TreePath) -> Seen:
        """What stands at a path now, and whether it is ignored. In any thread, whatever the tree's own is at."""
        return look_at(self._guard.root, self._ignore, self.options.devices, path, self._mounts.view)

    @property
    def unsettled(self) -> set[TreePath]:
        """What changed while it was looked at: to be scanned again soon."""
        return self._looking.unsettled

    @property
    def unreadable(self) -> dict[TreePath, str]:
        """What could not be looked at, and why: trying again soon is no use, each scan of the whole tree tries."""
        return self._looking.unreadable

    @property
    def carried(self) -> list[str]:
        """Namespaces of extended attributes that are neither set nor missed here, since the file system lacks them."""
        return self._looking.carried

    def scan(self, paths: Iterable[TreePath] | None) -> list[Observation]:
        """Look at these paths (None: all); what differs from the index, parents first, and durable."""
        with self._trusted() as beneath:
            return self._looking.scan(beneath, paths)

    def look_at(self, paths: Iterable[TreePath]) -> tuple[list[Observation], bool]:
        """As `scan`, but of new directories only the first portion, and whether there is more: `look_on` tells it."""
        with self._trusted() as beneath:
            return self._looking.at(beneath, paths)

    def look_on(self, anew: bool) -> tuple[list[Observation], bool]:
        """Look at all of the tree: a portion at a time (``anew``: the first) where nothing is known of it yet.

        Not ``anew``: go on with what was begun, by `look_at` too. What was found, parents first and durable, and if
        there is more; each portion is to be persisted first.
        """
        if anew:
            with self._index_errors():
                self._looking.begin()
        with self._trusted() as beneath:
            return self._looking.on(beneath, anew)

    def persist(self, entries: Iterable[Entry], counter: int) -> None:
        """Write entries and the counter to the index, durably, with the signatures that the last scan saw."""
        with self._index_errors():
            written = {entry.path: entry for entry in entries}
            rows = self._index.rows(written)
            records = []
            for path, entry in written.items():
                sig, seen = self._looking.seen.pop(path, (b"", None))
                row = rows.get(path)
                if seen is None or not (entry.same_state(seen) or (entry.deleted and seen.deleted)):
                    sig = row.signature if row is not None and row.alive and row.entry().same_state(entry) else b""
                records.append((entry, sig))
            self._index.put(records, counter)
            self._guard.wrote()
            self._note_change()

    def prepare(self, key: BatchKey, entries: Iterable[Entry], chunks: list[Chunk]) -> Prepared:
        """Stage what is at hand of a batch; which chunks (by their place in the list) are missing."""
        self.freeing.finish()
        with self._trusted() as beneath:
            entries = list(entries)
            self._end(key, keep=False)
            self._leftovers.set_aside(beneath, _label(key))
            noted = self._index.journal(_label(key), entries)
            batch = self._batches[key] = StagedBatch(beneath, _label(key))
            batch.journaled = noted
            with Directories(beneath) as directories:
                prepared = Preparation(self._index, batch, directories, self._leftovers).run(entries, chunks)
            self._check_room(batch)
            return prepared

    def store(self, key: BatchKey, chunks: Iterable[tuple[int, bytes]]) -> None:
        """Write received chunks; durable once the batch is complete. A batch that is not known is passed over."""
        self.freeing.finish()
        with self._trusted() as beneath:
            batch = self._staged(key, beneath)
            if batch is None:
                return
            for number, data in chunks:
                batch.write(number, data)
            batch.received = True
            self._check_room(batch)
            if batch.complete:
                batch.sync()

    def commit(self, key: BatchKey, targets: Iterable[Target], last: bool = True) -> CommitResult:
        """Make the targets true on disk, and write them to the index; the batch ends with the ``last`` commit of it."""
        self.freeing.finish()
        with self._trusted() as beneath:
            targets = list(targets)
            batch = self._staged(key, beneath)
            if batch is None:
                batch = self._batches[key] = StagedBatch(beneath, _label(key))
            batch.journaled |= self._index.journal(_label(key), _not_noted(targets, batch.journaled))
            special = self.options.devices
            with self._versions.keeping(beneath) as keeping:
                note = self._guard.note
                applier = Applier(beneath, self._index, self._ignore, special, batch, note, keeping, self.freeing)
                result, records = applier.run(targets)
            closed = _label(key) if last else None
            self._index.put(records, batch=closed, known=applier.known, noted=batch.journaled)
            self._looking.placed.note(records, applier.known)
            self._note_change()
            self._index.set_signatures(applier.refreshed.items())
            for entry, _ in records:
                self._looking.seen.pop(entry.path, None)
            if last:
                self._batches.pop(key).close()
            self._leftovers.forget(beneath, (entry.path for entry, _ in records))
            self._versions.thin(beneath, time.time_ns())
            return result

    def versions(self, under: TreePath | None = None) -> list[Kept]:
        """Kept versions (of a path and of all below it), oldest first. In any thread. Raises OSError."""
        beneath = Beneath(self._guard.root)
        try:
            return sorted(kept_versions(beneath, under), key=lambda kept: (kept.kept_ns, kept.path))
        finally:
            beneath.close()

    def restore(self, path: TreePath, version: bytes | None) -> tuple[list[TreePath], dict[TreePath, str]]:
        """Bring back a kept version (None: the newest; of a directory, of all below it that is gone).

        Returns the paths to be looked at, and what could not be brought back. Raises CannotRestore, Paused.
        """
        with self._trusted() as beneath, self._versions.keeping_anyway(beneath) as keeping:
            return restore(beneath, self._index, keeping, wanted(beneath, path, version))

    def discard(self, key: BatchKey) -> None:
        """Forget a batch. What was received for it is kept a while, in case another batch brings the same content."""
        with self._index_errors():
            batch = self._batches.get(key)
            self._end(key, keep=batch is not None and batch.received)

    def read_chunks(self, wanted: Iterable[tuple[int, TreePath, int, int, bytes]]) -> list[tuple[int, bytes | None]]:
        """Read chunks (number, path, offset, length, hash) of the tree's files; None where they are no longer there."""
        with self._trusted() as beneath:
            return read_chunks(beneath, wanted, self._looking.cannot_read)

    def close(self) -> None:
        """Let go of everything. Batches that have not ended stay in the journal, and on disk, for the next start."""
        for batch in self._batches.values():
            batch.close(keep=batch.received)
        self._batches.clear()
        self.freeing.finish()
        self._guard.close()
        self._mounts.close()
        self._index.close()

    def _note_change(self) -> None:
        with suppress(Paused):  # whoever touches the tree next hears of it
            self._guard.changed()

    def _check_room(self, batch: StagedBatch) -> None:
        """After a file was given up for want of space: is there any for the others? Raises Paused."""
        if batch.ran_out is not None:
            self._guard.note(batch.ran_out)
            batch.ran_out = None
            self._leftovers.clear(batch.beneath)
            self._guard.check()

    def _staged(self, key: BatchKey, beneath: Beneath) -> StagedBatch | None:
        batch = self._batches.get(key)
        if batch is not None and batch.beneath is not beneath:
            self._end(key, keep=False)  # staged under a root that is not there any more
            return None
        return batch

    def _end(self, key: BatchKey, keep: bool) -> None:
        batch = self._batches.pop(key, None)
        if batch is not None:
            batch.close(keep)
            if keep:
                self._leftovers.keep(batch)
            self._index.close_journal(batch.label)

    def _recover(self, beneath: Beneath, at_start: bool) -> None:
        """See to what a crash cut short, as soon as the tree can be had.

        Its versions are only adopted before anybody has read the index; later, the next scan makes new ones.
        """
        self._recovered = True
        self._index.keep_journals()
        self._versions.salvage(beneath, self._index)
        if at_start:
            adopt(self._index, beneath)
        else:
            self._index.close_journal(None)
        self._leftovers.recover(beneath)

    @contextmanager
    def _trusted(self) -> Iterator[Beneath]:
        with self._index_errors():
            beneath = None
            try:
                beneath = self._guard.check()
                with self._entered(beneath):
                    if not self._recovered:
                        self._recover(beneath, at_start=False)
                    yield beneath
            except OSError as error:
                if no_room(error) and beneath is not None:
                    self._leftovers.clear(beneath)
                raise Paused(self._guard.note(error) or f"the tree cannot be used: {error}") from error

    @contextmanager
    def _entered(self, beneath: Beneath) -> Iterator[None]:
        """With the file systems open that are mounted within the tree and belong to it."""
        self._mounts.enter(beneath)
        try:
            private = frozenset(TreePath(top + b"/" + PRIVATE) for top in self._mounts.view.crossed)
            if private != self._ignore.private:
                self._ignore.private = private
                self.ignored.changed()
            if self._mounts.fresh:
                self._versions.salvage(beneath, self._index)
                labels = frozenset(batch.label for batch in self._batches.values())
                while self._mounts.fresh:
                    clean(self._mounts.fresh.pop(), keep=labels)
            yield
        finally:
            self._mounts.leave(beneath)

    @contextmanager
    def _index_errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            if isinstance(error, _OUR_FAULT):
                raise
            self._index_failed = True
            raise Paused(f"the index cannot be used: {error}") from error


def _not_noted(targets: Iterable[Target], noted: Mapping[TreePath, Noted]) -> list[Entry]:
    """What a commit makes that the batch's journal does not hold."""
    entries = (target.entry for target in targets)
    return [one for one in entries if (known := noted.get(one.path)) is None or _differ(known.entry, one)]


def _differ(one: Entry, other: Entry) -> bool:
    return one is not other and one != other


def _label(key: BatchKey) -> str:
    return f"{key[0]:016x}-{key[1]}"
