"""Making a batch's targets true on disk: each file as it was or as it shall be, and nothing of the user's lost."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from l2sync.modtree import ROOT, Entry, Kind, Order, Target, TreePath, name, parent, split_path

from .beneath import NOT_THERE, Beneath, Directories
from .chunker import READ
from .freeing import Freeing
from .ignore import Ignore
from .index import Index, Row
from .job import Job
from .judging import Judge, Verdict
from .linking import LinkPlan
from .look import (
    SPECIAL,
    kind_of,
    set_attributes,
    set_open_attributes,
    signature,
)
from .placing import Keep, Raced, put, put_if_free, take
from .sources import Sources
from .staging import StagedBatch
from .versions import Keeping
from .written import WrittenDirectories
from .xattrs import Xattrs

_NOT_EMPTY = (errno.ENOTEMPTY, errno.EEXIST)


@dataclass(slots=True)
class CommitResult:
    """What is now so; what is not the file expected (to be scanned); what failed, and why."""

    applied: list[Entry] = field(default_factory=list)
    changed: list[TreePath] = field(default_factory=list)
    failed: dict[TreePath, str] = field(default_factory=dict)


class Applier:
    """One commit."""

    def __init__(
        self,
        beneath: Beneath,
        index: Index,
        ignore: Ignore,
        special: bool,
        batch: StagedBatch,
        note: Callable[[OSError], object],
        keeping: Keeping | None = None,
        freeing: Freeing | None = None,
    ) -> None:
        self._beneath = beneath
        self._keeping = keeping
        self._freeing = freeing
        self._index = index
        self._ignore = ignore
        self._special = special
        self._batch = batch
        self._note = note
        self._directories = Directories(beneath)
        self._jobs: dict[TreePath, Job] = {}
        self._parents: dict[TreePath, Row] = {}
        self._written = WrittenDirectories(beneath, self._directories, self._parents, note)
        self._result = CommitResult()
        self._records: list[tuple[Entry, bytes]] = []
        self._ended: list[Job] = []
        self.refreshed: dict[TreePath, bytes] = {}
        """New signatures of files that were left as they are."""
        self._plan()

    def _plan(self) -> None:
        """Make ready for the jobs that there are."""
        self._links = LinkPlan(self._jobs, self._index, self._batch, self._directories)
        self._sources = Sources(self._batch, self._index, self._directories, self._jobs, self._links)
        self._judge = Judge(self._beneath, self._directories, self._links, self._sources, self._ignore, self._special)

    @property
    def known(self) -> Mapping[TreePath, Row]:
        """What the index holds of the targets' paths."""
        return self._parents

    def run(self, targets: Iterable[Target]) -> tuple[CommitResult, list[tuple[Entry, bytes]]]:
        """Do it all; the result, and the entries with their signatures for the index."""
        with self._directories:
            self._take(targets)
            self._plan()
            self._judge_directories()
            standing = [job for job in self._sorted() if job.entry.kind not in (Kind.DIR, Kind.TOMBSTONE)]
            placed = [job for job in standing if not self._links.follows(job)]
            following = [job for job in standing if self._links.follows(job)]
            self._each(placed, self._supply)
            self._batch.sync()
            self._each((job for job in self._sorted() if job.entry.kind is Kind.DIR), self._make_directory)
            late = [job for job in placed if job.before is not None and job.before.kind is Kind.DIR]
            self._each(self._place_new([job for job in placed if job not in late]), self._place)
            # Whoever waits for a core to put the same in place on another node goes before our book-keeping.
            os.sched_yield()
            soon, later = self._following(following, late)
            self._each(soon, self._follow)
            self._each((job for job in reversed(self._sorted()) if job.entry.deleted), self._remove)
            self._each(late, self._place)
            self._each(later, self._follow)
            self._part()
            self._each((job for job in reversed(self._sorted()) if job.entry.kind is Kind.DIR), self._finish_directory)
            self._written.restore({job.path for job in self._ended})
            if self._keeping is not None:
                self._keeping.sync()
            self._written.sync()
            for job in self._ended:
                self._record(job)
            self._refresh()
        return self._result, self._records

    # --- beginning --------------------------------------------------------------------------------

    def _take(self, targets: Iterable[Target]) -> None:
        entries = [target.entry for target in targets]
        paths = {entry.path for entry in entries}
        rows = self._index.rows(paths)
        self._parents.update(rows)
        self._parents.update(self._index.rows({parent(path) for path in paths} - paths))
        for entry in entries:
            row = rows.get(entry.path)
            before = row.entry() if row is not None and row.alive else None
            if entry.kind is Kind.SOCKET:
                self._result.failed[entry.path] = "sockets are not kept in sync"
            elif entry.kind in SPECIAL and not self._special:
                self._result.failed[entry.path] = "FIFOs and devices are not kept in sync here: see the option devices"
            elif row is not None and _unseen_version(row.entry(), entry):
                self._result.changed.append(entry.path)
            elif row is not None and before is not None and before.same_state(entry):
                # Only the version is news. If the user has changed the file, its signature still tells.
                self._result.applied.append(entry)
                self._records.append((entry, row.signature))
            else:
                self._jobs[entry.path] = Job(entry, row, before)

    def _sorted(self) -> list[Job]:
        return [self._jobs[path] for path in sorted(self._jobs)]

    def _judge_directories(self) -> None:
        """Directories are judged first: what happens in them changes how they look."""
        for job in self._sorted():
            if job.entry.kind is Kind.DIR or (job.before is not None and job.before.kind is Kind.DIR):
                self._attempt(job, self._may)

    def _may(self, job: Job) -> bool:
        """Whether the job may go on. Raises OSError."""
        verdict = self._judge.verdict(job)
        if verdict is Verdict.CHANGED:
            if self._judge.unseen(job):
                self._fail(job, "something that is not kept in sync stands there")
                return False
            self._result.changed.append(job.path)
        elif verdict is Verdict.DONE and job.entry.kind is not Kind.DIR:
            if self._links.follows(job) and not self._links.joined(job):
                return True  # what shall stand there does, as a file of its own
            self._written.beyond = True
            self._ended.append(job)
        else:
            return True
        self._jobs.pop(job.path, None)
        return False

    def _supply(self, job: Job) -> None:
        if job.keeps_content:
            return
        if not self._sources.supply(job):
            self._fail(job, self._batch.broken.get(job.path, "its content is not at hand"))

    # --- the steps --------------------------------------------------------------------------------

    def _make_directory(self, job: Job) -> None:
        if job.status is not None and kind_of(job.status) is Kind.DIR:
            self._written.beyond |= job.before is None
            return
        directory = self._written.enter(parent(job.path))
        if job.status is not None and not self._may(job):
            return
        job.staged = self._batch.fresh_name()
        area = self._batch.at(job.path)
        os.mkdir(job.staged, 0o700, dir_fd=area)
        put(job.staged, area, name(job.path), directory, job.status, self._keep(job))
        self._directories.forget(job.path)

    def _place(self, job: Job) -> None:
        was_directory = job.before is not None and job.before.kind is Kind.DIR
        if not was_directory and not self._may(job):
            return
        directory = self._written.enter(parent(job.path))
        if job.staged is None:
            self._change_attributes(job, directory)
            self._written.beyond = True
        else:
            try:
                area = self._batch.at(job.path)
                put(job.staged, area, name(job.path), directory, job.status, self._keep(job), self._freeing)
            except OSError as error:
                if error.errno not in _NOT_EMPTY:
                    raise
                self._not_empty(job)
                return
            self._links.touch(job.status)
            if was_directory:
                self._directories.forget(job.path)
        self._ended.append(job)

    def _place_new(self, jobs: Iterable[Job]) -> list[Job]:
        """Put what is new where nothing stands, as is mostly so, without a look before; which jobs are left."""
        left = []
        for job in jobs:
            path = job.entry.path
            if job.staged is not None and job.before is None and path in self._jobs and not self._links.follows(job):
                above, child = split_path(path)
                with contextlib.suppress(OSError):
                    if put_if_free(job.staged, self._batch.fd, child, self._written.enter(above)):
                        self._ended.append(job)
                        continue
            left.append(job)
        return left

    def _following(self, jobs: list[Job], late: list[Job]) -> tuple[list[Job], list[Job]]:
        """Those that can be linked before anything is removed, so that no moment lacks both names; and the others."""
        waiting = {job.path for job in late}

        def waits(job: Job) -> bool:
            return self._links.leader(job) in waiting or (job.before is not None and job.before.kind is Kind.DIR)

        return [job for job in jobs if not waits(job)], [job for job in jobs if waits(job)]

    def _follow(self, job: Job) -> None:
        """Link a name to its leader's inode; where the leader has failed, the file gets its content as any other."""
        if not self._links.follows(job):
            return self._place(job)
        leader = self._links.leader(job)
        if leader in self._result.failed or leader in self._result.changed:
            self._links.lead(job)
            self._supply(job)
            self._batch.sync()
            if job.path in self._jobs:
                self._place(job)
            return None
        job.status = self._directories.stat(job.path)
        if self._links.joined(job):
            self._written.beyond = True
            self._ended.append(job)
            return None
        job.staged = self._links.stage(job)
        return self._place(job)

    def _change_attributes(self, job: Job, directory: int) -> None:
        try:
            set_attributes(job.entry, name(job.path), directory, self._xattrs(job), job.status)
        except (OSError, ValueError, OverflowError):
            if job.before is not None:  # else half of them would be taken for the user's doing
                with contextlib.suppress(OSError):
                    set_attributes(job.before, name(job.path), directory, self._xattrs(job))
            raise

    def _remove(self, job: Job) -> None:
        was_directory = job.before is not None and job.before.kind is Kind.DIR
        if not was_directory and not self._may(job):
            return
        directory = self._written.enter(parent(job.path))
        if not was_directory:
            assert job.status is not None, "what is judged free to be removed was seen"
            area = self._batch.at(job.path)
            spare = self._batch.fresh_name()
            take(name(job.path), directory, spare, area, job.status, self._keep(job), self._freeing)
            self._links.touch(job.status)
        elif not self._remove_directory(job, directory):
            return
        self._ended.append(job)

    def _remove_directory(self, job: Job, directory: int) -> bool:
        try:
            os.rmdir(name(job.path), dir_fd=directory)
        except OSError as error:
            if error.errno not in _NOT_EMPTY:
                raise
            self._not_empty(job)
            return False
        self._directories.forget(job.path)
        return True

    def _not_empty(self, job: Job) -> None:
        """Something was made in a directory that was to go: a scan will tell what, unless it does not look at it."""
        if self._beneath.holds_closed(job.path):
            self._fail(job, "a file system is, or was, mounted below it: see l2sync status")
            return
        with os.scandir(self._directories.get(job.path)) as listing:
            for item in listing:
                child = TreePath(job.path + b"/" + os.fsencode(item.name))
                if kind_of(item.stat(follow_symlinks=False), self._special) and not self._ignore(child, item.is_dir()):
                    self._result.changed.append(job.path)
                    del self._jobs[job.path]
                    return
        self._fail(job, "the directory holds files that are not kept in sync")

    def _finish_directory(self, job: Job) -> None:
        directory = self._directories.get(job.path)
        try:
            set_open_attributes(job.entry, directory, self._xattrs(job))
        except (OSError, ValueError, OverflowError):
            if job.before is not None and job.before.kind is Kind.DIR:
                with contextlib.suppress(OSError):
                    set_open_attributes(job.before, directory, self._xattrs(job))
            raise
        self._written.note(job.path)
        self._ended.append(job)

    def _xattrs(self, job: Job) -> Xattrs:
        return self._beneath.system(job.path).xattrs

    def _keep(self, job: Job) -> Keep | None:
        return None if self._keeping is None else self._keeping.of(job.path, job.entry.author)

    # --- the end ----------------------------------------------------------------------------------

    def _record(self, job: Job) -> None:
        sig = b""
        if not job.entry.deleted:
            status = self._directories.stat(job.path)
            if status is not None and self._judge.is_so(job, status):
                sig = signature(status)
        self._result.applied.append(job.entry)
        self._records.append((job.entry, sig))

    def _refresh(self) -> None:
        """Links that came or went show in the ctime of names that stay: no reason to read them again."""
        self.refreshed = self._links.refreshed(job.path for job in self._ended)
        self._records = [(entry, self.refreshed.pop(entry.path, sig)) for entry, sig in self._records]

    def _part(self) -> None:
        """A file that stayed after all, though its inode was lent to another name: the other gets one of its own."""
        ended = {job.path for job in self._ended}
        for path, taker in self._sources.linked.items():
            if path not in ended and taker.path in ended:
                self._attempt(taker, self._copy_aside)

    def _copy_aside(self, job: Job) -> None:
        directory = self._directories.get(parent(job.path))
        source = os.open(name(job.path), READ, dir_fd=directory)
        try:
            file = self._batch.copy_open(job.entry, source, os.fstat(source).st_size)
        finally:
            os.close(source)
        os.rename(file.name, name(job.path), src_dir_fd=file.area, dst_dir_fd=directory)
        job.staged = None
        job.status = None
        for mate in self._links.followers(job.path):
            above = self._directories.get(parent(mate.path))
            area = self._batch.at(mate.path)
            os.rename(self._links.stage(mate), name(mate.path), src_dir_fd=area, dst_dir_fd=above)

    def _each(self, jobs: Iterable[Job], step: Callable[[Job], object]) -> None:
        for job in jobs:
            if job.path in self._jobs:
                self._attempt(job, step)

    def _attempt(self, job: Job, step: Callable[[Job], object]) -> None:
        try:
            step(job)
        except Raced:
            self._result.changed.append(job.path)
            self._jobs.pop(job.path, None)
        except (ValueError, OverflowError) as error:  # an entry that no file system can hold
            self._fail(job, str(error))
        except OSError as error:
            top = self._on(job.path)
            if top is None:
                self._note(error)
            above = self._result.failed.get(parent(job.path))
            if error.errno in NOT_THERE and above is not None:
                self._fail(job, f"the directory above it could not be made: {above.rpartition(': ')[2]}")
            elif error.errno in NOT_THERE and self._lost_above(job.path):
                self._result.changed.append(job.path)
                self._jobs.pop(job.path, None)
            else:
                where = f" (on what is mounted at {os.fsdecode(top)})" if top else ""
                self._fail(job, (error.strerror or str(error)) + where)

    def _on(self, path: TreePath) -> TreePath | None:
        """Where the file system is mounted that the path is on; None for that of the root."""
        try:
            system = self._beneath.system(path)
        except OSError:
            return ROOT
        return system.top if system.nested else None

    def _lost_above(self, path: TreePath) -> bool:
        """Whether the index says that a directory is there which is not: the user took it away."""
        row = self._parents.get(parent(path))
        return path != ROOT and row is not None and row.kind is Kind.DIR and parent(path) not in self._result.failed

    def _fail(self, job: Job, reason: str) -> None:
        self._result.failed[job.path] = reason
        self._jobs.pop(job.path, None)


def _unseen_version(known: Entry, entry: Entry) -> bool:
    """Whether the index knows a version that the entry was made without: it must not be replaced by it."""
    return known.version.compare(entry.version) in (Order.AFTER, Order.CONCURRENT) and not known.same_state(entry)
