"""A tree's desk: carries out what the node asks of one tree's disk, and tells the node what came of it.

Whatever fails is an answer too: the node is never left waiting.
"""

from __future__ import annotations

import stat
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, TypeVar

import outcome
import structlog

from l2sync.disk import CommitResult, Paused, Prepared, Seen, TreeStore
from l2sync.modtree import Kind, Observation, Target, TreePath, parent
from l2sync.node import api

from .worker import Worker

T = TypeVar("T")
Report = Callable[[api.DiskEvent], None]
DiskRequest = (
    api.Accept
    | api.Forget
    | api.SetAside
    | api.Together
    | api.Prepare
    | api.Store
    | api.Commit
    | api.Discard
    | api.ReadChunks
    | api.Rescan
    | api.LookOn
    | api.Explain
)

_LONGEST_COMMIT = 60_000_000_000
_ECHO = 20_000_000
"""ns after a commit within which the kernel's reports of it have come."""
_ECHO_OF_MANY = 100_000_000
"""The same where they are let gather."""
_MANY = 64
"""Paths of a commit whose reports would come in many portions."""


class Look(NamedTuple):
    """What a scan came to; ``more``: there is more to look at."""

    found: list[Observation]
    more: bool
    unsettled: set[TreePath]
    unreadable: dict[TreePath, str]


@dataclass(slots=True)
class _Placing:
    """What a commit puts in place, and until when (ns) events there are taken for its own."""

    paths: set[TreePath]
    until: int

    @property
    def many(self) -> bool:
        return len(self.paths) > _MANY


def _unheard(result: int | Exception) -> None:
    """Nobody waits for a scan."""


class Desk:
    """One tree's store, its worker thread, and whether the tree is paused."""

    def __init__(
        self,
        name: str,
        store: TreeStore,
        worker: Worker,
        report: Report,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self.name = name
        self._clock = clock
        self.store = store
        self.worker = worker
        self.looker: Worker | None = None
        """A thread for looks that must not wait for a long scan; else the tree's own worker has them."""
        self.paused_reason: str | None = None
        self.scanning = 0
        """Scans asked for that have not ended."""
        self.on_unsettled: Callable[[Iterable[TreePath]], None] = lambda paths: None
        """Hears what changed while it was looked at, and is to be looked at again."""
        self.on_placing: Callable[[], None] = lambda: None
        """Called before a small batch is put in place."""
        self._first: Callable[[int | Exception], None] | None = None
        """Waits for the end of a look that comes in portions; and how much was found so far."""
        self._whole = False
        """Whether it is one at the whole tree."""
        self._portions = 0
        self._placing: list[_Placing] = []
        self._unreadable: dict[TreePath, str] = {}
        """As the node heard it last."""
        self._carried: list[str] = []
        """As the log says."""
        self._report = report
        self._log = structlog.get_logger().bind(tree=name)

    def end(self) -> None:
        """The node hears nothing more: it would ask for work that comes after the store's end."""
        self._report = lambda event: None

    def persist(self, effect: api.Persist) -> Callable[[], Awaitable[None]]:
        """Begin to make entries durable; what is returned waits for it. Raises what the store raises."""
        return self.worker.begin(lambda: self.store.persist(effect.entries, effect.counter))

    def carry_out(self, effect: DiskRequest) -> None:
        """Have it done after all asked for before; the node hears of it."""
        match effect:
            case api.Prepare():
                self._prepare(effect)
            case api.Store(_, key, chunks, waited_for):
                size = sum(len(data) for _, data in chunks)
                # Counted as off our hands even on failure: the commit tells which files lack something.
                told = api.Stored(self.name, key, size)
                self._do(lambda: self.store.store(key, chunks), lambda _: told, lambda _: told, waited_for, waited_for)
            case api.Commit():
                self._commit(effect)
            case api.Discard(_, key):
                self._do(lambda: self.store.discard(key), lambda _: None, lambda _: None)
            case api.ReadChunks():
                self._read_chunks(effect)
            case api.Rescan(_, paths):
                self.scan(paths)
            case api.LookOn():
                self._look_on()
            case api.Explain():
                self._explain(effect)
            case api.Accept():
                self._try("accept", self.store.accept)
            case api.Forget():
                self._try("forget", lambda: self.store.forget(effect.paths))
            case api.Together(_, wall):
                self._try("note_together", lambda: self.store.note_together(wall))
            case api.SetAside():
                self._set_aside(effect.paths)

    def scan(self, paths: Iterable[TreePath] | None, done: Callable[[int | Exception], None] | None = None) -> None:
        """Look at these paths (None: all); the node hears what differs, then ``done`` how much, or why not."""
        wanted = None if paths is None else list(paths)
        if wanted is None and self._first is None:
            self._first, self._whole = done or _unheard, True
            self.scanning += 1
            self._look_on(anew=True)
            return
        self.scanning += 1

        def finish(look: Look | Exception) -> None:
            if isinstance(look, Look):
                if look.more and self._first is not None:
                    look = look._replace(more=False)  # a look at all of it will find the rest
                if look.more and self.paused_reason is None:
                    self._first, self._whole, self._portions = done or _unheard, False, len(look.found)
                    self._tell(look, False)
                    return
                self._tell(look, wanted is None)
            self.scanning -= 1
            (done or _unheard)(len(look.found) if isinstance(look, Look) else look)

        def look_at() -> tuple[list[Observation], bool]:
            return (self.store.scan(None), False) if wanted is None else self.store.look_at(wanted)

        self._post_look(look_at, finish)

    def _look_on(self, anew: bool = False) -> None:
        """Look at all of the tree (``anew``) or at its first portion, or at the next portion of what was begun."""
        if self._first is None:
            return

        def finish(look: Look | Exception) -> None:
            if isinstance(look, Look):
                self._portions += len(look.found)
                self._tell(look, self._whole and not look.more)
                if look.more and self.paused_reason is None:
                    return
            done, self._first = self._first or _unheard, None
            found, self._portions = self._portions, 0
            self.scanning -= 1
            done(found if isinstance(look, Look) else look)

        self._post_look(lambda: self.store.look_on(anew), finish)

    def _post_look(
        self, scan: Callable[[], tuple[list[Observation], bool]], finish: Callable[[Look | Exception], None]
    ) -> None:
        def look() -> Look:
            found, more = scan()
            return Look(found, more, set(self.store.unsettled), dict(self.store.unreadable))

        def finished(result: outcome.Outcome[Look]) -> None:
            try:
                found = result.unwrap()
            except Exception as error:
                self._fail("scan", error)
                finish(error)
            else:
                finish(found)
            if self.store.freeing.waiting and not self.worker.closed:
                # This was, as a rule, the look at what a commit had put there: nobody waits for that any more.
                self._try("free", self.store.freeing.finish)

        self.worker.post(look, finished)

    def _tell(self, look: Look, whole: bool) -> None:
        """Tell the node what was found."""
        if self.paused_reason is None and (look.found or whole or look.more or look.unreadable != self._unreadable):
            self._unreadable = look.unreadable
            self._report(api.Observed(self.name, tuple(look.found), whole, look.unreadable, look.more))
        if whole:
            self._tell_carried()
        if look.unsettled:
            self.on_unsettled(look.unsettled)

    def _tell_carried(self) -> None:
        if self.store.carried != self._carried:
            self._carried = self.store.carried
            self._log.info(
                "attributes_carried",
                namespaces=", ".join(self._carried),
                reason="the file system, or the agent's privileges, cannot set them here; other nodes get them",
            )

    def placed(self, paths: Iterable[TreePath]) -> set[TreePath]:
        """Those of the paths that a commit of ours is touching, or has just touched."""
        self._end_placing()
        return {path for one in self._placing for path in one.paths.intersection(paths)}

    @property
    def placing_many(self) -> bool:
        """Whether a commit of ours is touching a lot, or has just done so."""
        self._end_placing()
        return any(one.many for one in self._placing)

    def _end_placing(self) -> None:
        now = self._clock()
        self._placing = [one for one in self._placing if one.until >= now]

    def _note_placing(self, targets: Iterable[Target]) -> _Placing:
        self._end_placing()
        paths = {target.entry.path for target in targets}
        placing = _Placing(paths | {parent(path) for path in paths}, self._clock() + _LONGEST_COMMIT)
        self._placing.append(placing)
        return placing

    def set_paused(self, reason: str | None, held: bool = False) -> None:
        """Tell the node of a pause or of its end; after the end the whole tree is to be looked at."""
        if reason == self.paused_reason:
            return
        self.paused_reason = reason
        if reason is not None:
            self._report(api.TreePaused(self.name, reason, held))
        else:
            self._report(api.TreeResumed(self.name, self.store.lost))

    def _prepare(self, effect: api.Prepare) -> None:
        def succeed(result: Prepared) -> api.DiskEvent:
            return api.Prepared(self.name, effect.key, tuple(result.missing), dict(result.failed))

        def fail(reason: str) -> api.DiskEvent:
            return api.Prepared(self.name, effect.key, (), {entry.path: reason for entry in effect.entries})

        job = partial(self.store.prepare, effect.key, effect.entries, list(effect.chunks))
        self._do(job, succeed, fail, effect.waited_for, begin=effect.waited_for)

    def _commit(self, effect: api.Commit) -> None:
        placing = self._note_placing(effect.targets)

        def succeed(result: CommitResult) -> api.DiskEvent:
            placing.until = self._clock() + (_ECHO_OF_MANY if placing.many else _ECHO)
            applied, changed = tuple(result.applied), tuple(result.changed)
            return api.Committed(self.name, effect.key, applied, changed, dict(result.failed))

        def fail(reason: str) -> api.DiskEvent:
            placing.until = 0
            failed: Mapping[TreePath, str] = {target.entry.path: reason for target in effect.targets}
            return api.Committed(self.name, effect.key, (), (), failed)

        if not effect.waited_for:
            self.on_placing()
        job = partial(self.store.commit, effect.key, effect.targets, effect.last)
        self._do(job, succeed, fail, effect.waited_for)

    def _read_chunks(self, effect: api.ReadChunks) -> None:
        reads = [(r.index, r.path, r.offset, r.length, r.digest) for r in effect.reads]
        self._do(
            lambda: self.store.read_chunks(reads),
            lambda chunks: api.ChunksRead(self.name, effect.key, tuple(chunks)),
            lambda _: api.ChunksRead(self.name, effect.key, tuple((r.index, None) for r in effect.reads)),
        )

    def _try(self, what: str, job: Callable[[], None]) -> None:
        """Have a thing done that the node hears nothing of."""

        def finish(result: outcome.Outcome[None]) -> None:
            try:
                result.unwrap()
            except Exception as error:
                self._fail(what, error)

        self.worker.post(job, finish)

    def _set_aside(self, paths: tuple[TreePath, ...]) -> None:
        def work() -> None:
            places = self.store.set_aside(paths)
            self._log.warning("set_aside", count=len(paths), place=", ".join(map(str, places)))

        self._try("set_aside", work)
        self.scan(None)

    def _explain(self, effect: api.Explain) -> None:
        def finish(result: outcome.Outcome[Seen]) -> None:
            try:
                seen = result.unwrap()
            except Exception as error:
                self._log.error("explain_failed", exc_info=error)
                seen = Seen(error=str(error) or type(error).__name__)
            look = None
            if (status := seen.status) is not None:
                mode, owner = stat.S_IMODE(status.st_mode), (status.st_uid, status.st_gid)
                size = status.st_size if seen.kind is Kind.FILE else 0
                look = api.DiskLook(seen.kind, mode, *owner, size, status.st_mtime_ns, seen.what)
            self._report(api.Explained(self.name, effect.token, seen.ignored, look, seen.error))

        (self.looker or self.worker).post(lambda: self.store.explain(effect.path), finish)

    def _do(
        self,
        job: Callable[[], T],
        succeed: Callable[[T], api.DiskEvent | None],
        fail: Callable[[str], api.DiskEvent | None],
        waited_for: bool = True,
        begin: bool = True,
    ) -> None:
        def finish(result: outcome.Outcome[T]) -> None:
            try:
                event = succeed(result.unwrap())
            except Exception as error:
                event = fail(self._fail("disk_work", error))
            if event is not None:
                self._report(event)

        self.worker.post(job, finish, waited_for, begin)

    def _fail(self, what: str, error: Exception) -> str:
        """Note a failure, pause the tree where the store says so; the reason in words."""
        reason = str(error) or type(error).__name__
        if isinstance(error, Paused):
            self.set_paused(reason, error.held)
        elif isinstance(error, OSError):
            self._log.error(f"{what}_failed", reason=reason)
        else:
            self._log.error(f"{what}_failed", reason=reason, exc_info=error)
        return reason
