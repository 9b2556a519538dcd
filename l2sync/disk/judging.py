"""Whether what stands at a path may be replaced: only what the index knows, so that nothing of the user's is lost."""

from __future__ import annotations

import os
from enum import Enum, auto

from l2sync.modtree import ROOT, Kind

from .beneath import Beneath, Directories
from .ignore import Ignore
from .job import Job
from .linking import LinkPlan, inode
from .look import kind_of, same_attributes, signature, without_ctime
from .sources import Sources, is_already


class Verdict(Enum):
    """What a look at a job's path came to."""

    FREE = auto()
    """What stands there is what the index knows: it may be replaced."""
    DONE = auto()
    """What shall stand there does already."""
    CHANGED = auto()


class Judge:
    """Looks where one commit's jobs are to be done. Its methods raise OSError."""

    def __init__(
        self,
        beneath: Beneath,
        directories: Directories,
        links: LinkPlan,
        sources: Sources,
        ignore: Ignore,
        special: bool,
    ) -> None:
        self._beneath = beneath
        self._directories = directories
        self._links = links
        self._sources = sources
        self._ignore = ignore
        self._special = special

    def verdict(self, job: Job) -> Verdict:
        """Judge by what stands there now, which the job then knows as its status."""
        status = job.status = self._directories.stat(job.path)
        row, entry = job.row, job.entry
        if status is None:
            if entry.deleted:
                return Verdict.DONE
            return Verdict.CHANGED if job.before is not None else Verdict.FREE
        if row is not None and job.before is not None:
            sig = signature(status)
            if sig == row.signature:
                return Verdict.FREE
            ours = job.path in self._sources.linked or inode(status) in self._links.moved
            if ours and without_ctime(sig) == without_ctime(row.signature):
                return Verdict.FREE
        if not entry.deleted and is_already(entry, status, self._directories):
            return Verdict.DONE
        if job.before is not None and is_already(job.before, status, self._directories):
            return Verdict.FREE
        return Verdict.CHANGED

    def unseen(self, job: Job) -> bool:
        """Whether a scan would not report what stands there."""
        if job.status is None or job.path == ROOT:
            return False
        kind = kind_of(job.status, self._special)
        return kind is None or self._ignore(job.path, kind is Kind.DIR) or self._ignore.any_above(job.path)

    def is_so(self, job: Job, status: os.stat_result) -> bool:
        """Whether it looks as it shall, and what was given only attributes was not saved anew since it was judged."""
        if not same_attributes(job.entry, status, self._beneath.system(job.path).times):
            return False
        return job.staged is not None or job.status is None or job.status.st_ino == status.st_ino
