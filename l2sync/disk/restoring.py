"""Bringing a kept version back to its place, as the user's own change: the version itself stays kept."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable

from l2sync.modtree import ROOT, Entry, Kind, TreePath, name, parent

from .beneath import DIRECTORY, NOT_THERE, Beneath, Directories
from .chunker import READ
from .guard import pausing
from .index import Index
from .look import kind_of, set_attributes
from .placing import Raced, put
from .staging import StagedBatch
from .versions import Keeping, Kept, kept_versions

_LABEL = "restore"


class CannotRestore(Exception):
    """There is no such version, or it cannot come back; the text says why."""


def wanted(beneath: Beneath, path: TreePath, version: bytes | None) -> list[Kept]:
    """What to bring back: the version named, or the newest of the path, or of each path below it that is gone.

    Raises CannotRestore.
    """
    found = list(kept_versions(beneath, path))
    own = [kept for kept in found if kept.path == path]
    if version is not None:
        chosen = [kept for kept in own if kept.id == version]
        if not chosen:
            raise CannotRestore(f"no version {_text(version)} of {_text(path)} is kept; l2sync versions lists them")
        return chosen
    if own:
        return [max(own, key=lambda kept: kept.kept_ns)]
    newest: dict[TreePath, Kept] = {}
    for kept in sorted(found, key=lambda kept: kept.kept_ns):
        newest[kept.path] = kept
    with Directories(beneath) as directories:
        gone = [kept for kept in newest.values() if directories.stat(kept.path) is None]
    if not gone:
        what = "nothing that is gone is kept below it" if newest else "no version of it is kept"
        raise CannotRestore(f"{_text(path)}: {what}")
    return sorted(gone, key=lambda kept: kept.path)


def restore(
    beneath: Beneath, index: Index, keeping: Keeping, versions: Iterable[Kept]
) -> tuple[list[TreePath], dict[TreePath, str]]:
    """Put copies of these versions in place; what was changed (to be looked at), and what could not be, and why.

    What stands there is kept as a version itself. Raises OSError where the tree itself is in trouble.
    """
    batch = StagedBatch(beneath, _LABEL)
    changed: list[TreePath] = []
    failed: dict[TreePath, str] = {}
    try:
        with Directories(beneath) as directories:
            restorer = _Restorer(beneath, index, keeping, batch, directories)
            for kept in versions:
                try:
                    changed += restorer.bring_back(kept)
                except CannotRestore as error:
                    failed[kept.path] = str(error)
                except OSError as error:
                    if pausing(error):
                        raise
                    failed[kept.path] = error.strerror or str(error)
            keeping.sync()
    finally:
        batch.close()
    return changed, failed


class _Restorer:
    def __init__(
        self,
        beneath: Beneath,
        index: Index,
        keeping: Keeping,
        batch: StagedBatch,
        directories: Directories,
    ) -> None:
        self._beneath, self._index, self._keeping = beneath, index, keeping
        self._batch, self._directories = batch, directories

    def bring_back(self, kept: Kept) -> list[TreePath]:
        """One version; the paths that have changed by it. Raises CannotRestore, OSError."""
        made = self._provide(parent(kept.path))
        directory = self._directories.get(parent(kept.path))
        standing = self._directories.stat(kept.path)
        if standing is not None and kind_of(standing) is Kind.DIR:
            raise CannotRestore("a directory stands there now: move it away first")
        staged = self._copy(kept)
        if standing is not None and self._keeping.too_large(standing):
            raise CannotRestore("what stands there is larger than all kept versions may be: move it away first")
        try:
            area, keep = self._batch.at(kept.path), self._keeping.of(kept.path, _LABEL)
            put(staged, area, name(kept.path), directory, standing, keep)
        except Raced:
            raise CannotRestore("it is being changed at this moment: try again") from None
        os.fsync(directory)
        return [*made, kept.path]

    def _copy(self, kept: Kept) -> bytes:
        area = self._beneath.open(parent(kept.place), DIRECTORY)
        try:
            entry = self._entry(kept, area)
            if kept.kind is Kind.FILE:
                return self._copy_file(entry, kept.id, area)
            if kept.kind is not Kind.LINK:
                raise CannotRestore("it was of a kind that cannot be brought back")
            staged = self._batch.fresh_name()
            place, xattrs = self._batch.at(kept.path), self._beneath.system(kept.path).xattrs
            os.symlink(os.readlink(kept.id, dir_fd=area), staged, dir_fd=place)
            set_attributes(entry, staged, place, xattrs)
            return staged
        finally:
            os.close(area)

    def _copy_file(self, entry: Entry, child: bytes, area: int) -> bytes:
        source = os.open(child, READ, dir_fd=area)
        try:
            staged = self._batch.copy_open(entry, source, entry.size)
        finally:
            os.close(source)
        self._batch.sync()
        return staged.name

    def _entry(self, kept: Kept, area: int) -> Entry:
        status = os.stat(kept.id, dir_fd=area, follow_symlinks=False)
        return Entry(
            path=kept.path,
            kind=kept.kind,
            mode=status.st_mode & 0o7777,
            uid=status.st_uid,
            gid=status.st_gid,
            mtime_ns=status.st_mtime_ns,
            size=status.st_size if kept.kind is Kind.FILE else 0,
            xattrs=self._beneath.home.xattrs.of_child(kept.id, area),
        )

    def _provide(self, path: TreePath) -> list[TreePath]:
        """Make the directories that are gone, as their tombstones remember them; those that were made."""
        if path == ROOT:
            return []
        status = self._directories.stat(path)
        if status is not None:
            if kind_of(status) is not Kind.DIR:
                raise CannotRestore(f"{_text(path)} is no directory now: move it away first")
            return []
        made = self._provide(parent(path))
        above = self._directories.get(parent(path))
        with contextlib.suppress(FileExistsError):
            os.mkdir(name(path), 0o755, dir_fd=above)
        row = self._index.row(path)
        before = row.entry() if row is not None else None
        if before is not None and before.mode & 0o100:
            fd = self._directories.get(path)
            os.fchown(fd, before.uid, before.gid)
            os.fchmod(fd, before.mode)
        try:
            os.fsync(above)
        except OSError as error:
            if error.errno not in NOT_THERE:
                raise
        return [*made, path]


def _text(path: bytes) -> str:
    return path.decode("utf-8", "backslashreplace") or "/"
