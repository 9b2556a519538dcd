"""Where a file's content comes from when a batch is committed: staged, or at hand in another local file."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping

from l2sync.modtree import ROOT, Entry, Kind, TreePath, name, parent

from .beneath import Directories
from .chunker import READ, Read, Unsettled, hash_file
from .index import Index, Row
from .job import Job
from .linking import LinkPlan
from .look import SPECIAL, kind_of, same_attributes, same_content, set_attributes, signature, without_ctime
from .staging import StagedBatch, StagedFile
from .xattrs import Xattrs

_TYPES = {Kind.FIFO: stat.S_IFIFO, Kind.CHAR: stat.S_IFCHR, Kind.BLOCK: stat.S_IFBLK}


def is_already(entry: Entry, status: os.stat_result, directories: Directories) -> bool:
    """Whether what stat shows at the entry's path is the entry, content included. Raises OSError."""
    system = directories.system(entry.path)
    if not same_attributes(entry, status, system.times):
        return False
    xattrs = system.xattrs
    wanted = xattrs.kept(entry.xattrs)
    if entry.path == ROOT:
        return xattrs.of_open(directories.get(ROOT)) == wanted
    directory = directories.get(parent(entry.path))
    if entry.kind is Kind.FILE:
        read = read_again(name(entry.path), directory, entry, xattrs)
        return read is not None and (read.chunks, read.xattrs) == (entry.chunks, wanted)
    if xattrs.of_child(name(entry.path), directory) != wanted:
        return False
    return entry.kind is not Kind.LINK or os.readlink(name(entry.path), dir_fd=directory) == entry.target


def read_again(child: bytes, directory: int, entry: Entry, xattrs: Xattrs, wait: bool = True) -> Read | None:
    """A file's chunks, cut as the entry's are; None when it changes under our eyes. Raises OSError."""
    try:
        return hash_file(child, directory, xattrs, like=entry, wait=wait)
    except Unsettled:
        return None


class Sources:
    """Finds the content of a commit's files, before anything is moved."""

    def __init__(
        self,
        batch: StagedBatch,
        index: Index,
        directories: Directories,
        jobs: Mapping[TreePath, Job],
        links: LinkPlan,
    ) -> None:
        self._links = links
        self._batch = batch
        self._index = index
        self._directories = directories
        self._jobs = jobs
        self._leaving: dict[bytes, list[TreePath]] = {}
        self.linked: dict[TreePath, Job] = {}
        """Files whose inode goes on under another name, with the job that takes it: their ctime has moved by our
        own doing."""
        for job in jobs.values():
            if job.before is not None and job.before.chunks and not same_content(job.entry, job.before):
                self._leaving.setdefault(job.before.chunks, []).append(job.path)

    def supply(self, job: Job) -> bool:
        """Stage what will stand at the job's path; False when its content is not at hand. Raises OSError."""
        entry, area = job.entry, self._batch.at(job.path)
        own = self._batch.files.get(entry.path)
        if own is not None and own.entry is entry and own.area == area and not own.left:
            job.staged = own.name
            return True
        xattrs = self._directories.system(job.path).xattrs
        if entry.kind is Kind.LINK:
            job.staged = self._batch.fresh_name()
            os.symlink(entry.target, job.staged, dir_fd=area)
            set_attributes(entry, job.staged, area, xattrs)
            return True
        if entry.kind in SPECIAL:
            job.staged = self._batch.fresh_name()
            os.mknod(job.staged, _TYPES[entry.kind] | 0o600, entry.rdev, dir_fd=area)
            set_attributes(entry, job.staged, area, xattrs)
            return True
        if own is not None and own.area == area and not own.left and own.entry.chunks == entry.chunks:
            job.staged = own.name
            if not own.entry.same_state(entry):
                set_attributes(entry, own.name, area, xattrs)
            return True
        if not entry.size:
            return self._use(job, self._batch.make_empty(entry))
        return self._link(job) or self._copy(job)

    def _use(self, job: Job, file: StagedFile) -> bool:
        job.staged = file.name
        return True

    def _link(self, job: Job) -> bool:
        """A file that leaves its place lends its inode: a rename costs no copy."""
        entry, area, system = job.entry, self._batch.at(job.path), self._directories.system(job.path)
        for path in self._leaving.get(entry.chunks, ()):
            giver = self._jobs.get(path)
            if giver is None or path in self.linked or not self._unchanged(path, giver.row):
                continue  # without a job any more it does not leave: two names must not come to share an inode
            if self._directories.system(path) is not system:
                continue  # between file systems it is copied
            status = self._directories.stat(path)
            if status is None or not same_attributes(entry, status, system.times):
                continue
            if not self._same_xattrs(entry, giver):
                continue  # the inode has one set of attributes, and still stands at its old place
            if not self._links.lends(giver, entry):
                continue  # it has other names, which are not to come to share it with this one
            staged = self._batch.fresh_name()
            directory = self._directories.get(parent(path))
            os.link(name(path), staged, src_dir_fd=directory, dst_dir_fd=area, follow_symlinks=False)
            now = os.stat(staged, dir_fd=area, follow_symlinks=False)
            if without_ctime(signature(now)) != without_ctime(signature(status)):
                os.unlink(staged, dir_fd=area)
                continue
            self.linked[path] = job
            job.staged = staged
            return True
        return False

    def _copy(self, job: Job) -> bool:
        entry = job.entry
        for file in self._batch.by_content.get(entry.chunks, ()):
            if not file.left and self._copy_from(job, file.name, file.area):
                return True
        for path in self._elsewhere(entry):
            status = self._directories.stat(path)
            if status is None or kind_of(status) is not Kind.FILE or status.st_size != entry.size:
                continue
            if self._copy_from(job, name(path), self._directories.get(parent(path))):
                return True
        return False

    def _copy_from(self, job: Job, child: bytes, directory: int) -> bool:
        try:
            source = os.open(child, READ, dir_fd=directory)
        except FileNotFoundError:
            return False
        try:
            file = self._batch.copy_open(job.entry, source, job.entry.size)
        except EOFError:
            return False
        finally:
            os.close(source)
        xattrs = self._directories.system(job.path).xattrs
        read = read_again(file.name, file.area, job.entry, xattrs, wait=False)
        if read is not None and read.chunks == job.entry.chunks:
            return self._use(job, file)
        os.unlink(file.name, dir_fd=file.area)
        return False

    def _elsewhere(self, entry: Entry) -> list[TreePath]:
        """Local files that held this content when they were last seen."""
        paths = [entry.path, *self._leaving.get(entry.chunks, ())]
        first = entry.chunks[:32]
        for place in self._index.find_chunks([first]).get(first, ()):
            row = self._index.row(place.path) if not place.offset else None
            if row is not None and row.kind is Kind.FILE and row.entry().chunks == entry.chunks:
                paths.append(place.path)
        return paths

    def _same_xattrs(self, entry: Entry, giver: Job) -> bool:
        kept = self._directories.system(entry.path).xattrs.kept
        return giver.before is not None and kept(giver.before.xattrs) == kept(entry.xattrs)

    def _unchanged(self, path: TreePath, row: Row | None) -> bool:
        status = self._directories.stat(path)
        return row is not None and status is not None and signature(status) == row.signature
