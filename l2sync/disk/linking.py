"""Hard links in a commit: which targets come to share an inode, and which must part from one."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Mapping
from typing import TypeAlias

from l2sync.modtree import Entry, Kind, TreePath, name, parent

from .beneath import Directories
from .index import Index, Row
from .job import Job
from .links import shared_key
from .look import same_attributes, signature, without_ctime
from .placing import Raced
from .staging import StagedBatch

_Key: TypeAlias = tuple[object, ...]
_APART = "its other names are on another file system, and hard links do not cross"


class LinkPlan:
    """What one commit does to names of shared inodes. One name per inode gets its content as any file does (or has it
    already), the others are linked to it."""

    def __init__(
        self, jobs: Mapping[TreePath, Job], index: Index, batch: StagedBatch, directories: Directories
    ) -> None:
        self._jobs = jobs
        self._batch = batch
        self._directories = directories
        self._rows: dict[TreePath, Row] = {}
        for label in {e.link_group for job in jobs.values() for e in (job.entry, job.before) if e and e.link_group}:
            self._rows |= index.labelled(label)
        self._clean = {path for path, row in self._rows.items() if self._unchanged(path, row)}
        self._together: dict[_Key, set[TreePath]] = {}
        self.moved: set[tuple[int, int]] = set()
        """Inodes (by device) whose ctime has moved by our own doing."""
        self._leaders: dict[TreePath, TreePath] = {}
        self._part()
        self._choose()

    def follows(self, job: Job) -> bool:
        """Whether the job waits for another name of its inode."""
        return job.path in self._leaders

    def leader(self, job: Job) -> TreePath:
        """The name that a following job is linked to."""
        return self._leaders[job.path]

    def lead(self, job: Job) -> None:
        """The job's leader has failed: it takes its place."""
        old = self._leaders.pop(job.path)
        for path, leader in list(self._leaders.items()):
            if leader == old:
                self._leaders[path] = job.path

    def followers(self, leader: TreePath) -> list[Job]:
        """The jobs that are linked to this name."""
        return [self._jobs[path] for path, one in self._leaders.items() if one == leader and path in self._jobs]

    def joined(self, job: Job) -> bool:
        """Whether what was seen at a following job's path is its leader's inode already. Raises OSError."""
        leader = self._directories.stat(self._leaders[job.path])
        return leader is not None and job.status is not None and inode(leader) == inode(job.status)

    def stage(self, job: Job) -> bytes:
        """Another link to the leader's inode, in the batch's directory. Raises OSError, Raced."""
        path, area = self._leaders[job.path], self._batch.at(job.path)
        if self._directories.system(path) is not self._directories.system(job.path):
            raise OSError(errno.EXDEV, _APART)
        staged = self._batch.fresh_name()
        directory = self._directories.get(parent(path))
        os.link(name(path), staged, src_dir_fd=directory, dst_dir_fd=area, follow_symlinks=False)
        status = os.stat(staged, dir_fd=area, follow_symlinks=False)
        self.moved.add(inode(status))
        if not same_attributes(job.entry, status, self._directories.system(job.path).times):
            os.unlink(staged, dir_fd=area)
            raise Raced
        return staged

    def touch(self, status: os.stat_result | None) -> None:
        """A name of this inode goes."""
        if status is not None and status.st_nlink > 1:
            self.moved.add(inode(status))

    def refreshed(self, ended: Iterable[TreePath]) -> dict[TreePath, bytes]:
        """New signatures of names that stay as they are, where only links to their inodes have come or gone."""
        found = {}
        for path in self._clean.difference(ended):
            status = self._directories.stat(path)
            if status is not None and inode(status) in self.moved:
                sig, known = signature(status), self._rows[path].signature
                if sig != known and without_ctime(sig) == without_ctime(known):
                    found[path] = sig
        return found

    def _unchanged(self, path: TreePath, row: Row) -> bool:
        status = self._directories.stat(path)
        return status is not None and signature(status) == row.signature

    def lends(self, giver: Job, entry: Entry) -> bool:
        """Whether the inode at a job's path may go on as this entry: all its other names go, or become the entry's."""
        return all(mate is not None and (mate.entry.deleted or _alike(entry, mate)) for mate in self._mates(giver))

    def _mates(self, job: Job) -> list[Job | None]:
        """The jobs of the other names of an inode; None for a name that stays as it is."""
        key = shared_key(job.before)
        return [self._jobs.get(path) for path in self._together.get(key, set()) - {job.path}] if key else []

    def _part(self) -> None:
        """Attributes are changed in place only where all names of the inode change alike."""
        for path, row in self._rows.items():
            self._together.setdefault(row.entry().look(), set()).add(path)
        for job in self._jobs.values():
            if job.keeps_content and job.entry.kind is not Kind.DIR:
                # A name that is to be removed must still be found as it was known.
                job.parts = not all(mate is not None and _alike(job.entry, mate) for mate in self._mates(job))

    def _choose(self) -> None:
        """One name of each inode to be leads: one that stands, else one that keeps its inode, else one staged."""
        standing = {
            row.entry().look(): path
            for path, row in sorted(self._rows.items(), reverse=True)
            if path not in self._jobs and path in self._clean
        }
        groups: dict[_Key, list[Job]] = {}
        for _, job in sorted(self._jobs.items()):
            key = shared_key(job.entry)
            if key is not None and not job.entry.deleted:
                groups.setdefault(key, []).append(job)
        for key, jobs in groups.items():
            leader = standing.get(key)
            if leader is None:
                leader = min(jobs, key=self._rank).path
            self._leaders.update((job.path, leader) for job in jobs if job.path != leader)

    def _rank(self, job: Job) -> tuple[bool, bool]:
        return (not (job.keeps_content and not job.parts), job.path not in self._batch.files)


def inode(status: os.stat_result) -> tuple[int, int]:
    """What tells it from every other."""
    return status.st_dev, status.st_ino


def _alike(entry: Entry, mate: Job) -> bool:
    return bool(entry.link_group) and mate.entry.look() == entry.look()
