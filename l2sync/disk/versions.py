"""What remote changes and deletions replace, kept for a while under ``.l2sync/versions/`` of the tree.

A kept version of ``d/f`` is ``.l2sync/versions/d/f/ID``: the file itself, moved there with all its attributes, so the
directory tells everything even when the index is lost. Its ID says when it was replaced, and by whom.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from l2sync.modtree import PRIVATE, InvalidPath, Kind, TreePath, name, parent, tree_path

from .beneath import DIRECTORY, RENAME_NOREPLACE, Beneath, Directories, System, rename_beneath, sync_file_system
from .copying import copy_thing
from .index import Index
from .look import kind_of, signature, without_ctime
from .staging import AREA as STAGING

AREA = PRIVATE + b"/versions"
DAY_NS = 24 * 3600 * 1_000_000_000
_ID = re.compile(rb"(\d{8}-\d{6})\.(\d{9})-[A-Za-z0-9._-]{1,64}")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EACH = 1024
"""Bytes that a version counts beyond its content, so that many empty ones are bounded too."""
_FEW = 8
_COPY = b"kept"
"""What a copy on its way is called in the staging area."""
_KEPT = (Kind.FILE, Kind.LINK)


@dataclass(frozen=True, slots=True)
class Kept:
    """A version that was replaced at ``kept_ns`` (since 1970); ``cost``: bytes that it counts against the bound."""

    path: TreePath
    id: bytes
    kind: Kind
    size: int
    mtime_ns: int
    kept_ns: int
    cost: int

    @property
    def place(self) -> TreePath:
        """Where it lies, beneath the root."""
        return TreePath(AREA + b"/" + self.path + b"/" + self.id)


class Versions:
    """The kept versions of one tree. ``keep_ns``: for how long, 0: none are kept; ``most``: bytes for all of them."""

    def __init__(self, keep_ns: int, most: int) -> None:
        self.keep_ns = keep_ns
        self.most = most
        self._known: deque[Kept] | None = None
        self._sum = 0

    @contextlib.contextmanager
    def keeping(self, beneath: Beneath) -> Iterator[Keeping | None]:
        """For one commit; None where nothing is to be kept."""
        if self.keep_ns <= 0:
            yield None
            return
        with self.keeping_anyway(beneath) as keeping:
            yield keeping

    @contextlib.contextmanager
    def keeping_anyway(self, beneath: Beneath) -> Iterator[Keeping]:
        """For what a user brings back, whose own file must not be lost by it."""
        with Directories(beneath) as directories:
            yield Keeping(self, beneath, directories)

    def note(self, kept: Kept) -> None:
        """One more is kept."""
        if self._known is not None:
            self._known.append(kept)
            self._sum += kept.cost

    def recount(self) -> None:
        """Look at the disk again before the next thinning: an administrator may have removed some."""
        self._known = None

    def thin(self, beneath: Beneath, now_ns: int) -> None:
        """Remove what has expired, then the oldest, until the rest is within the bound. Never raises OSError."""
        if self.keep_ns <= 0:
            return
        if self._known is None:
            self._known = deque(sorted(kept_versions(beneath), key=lambda one: one.kept_ns))
            self._sum = sum(one.cost for one in self._known)
        while self._known and (self._sum > self.most or now_ns - self._known[0].kept_ns > self.keep_ns):
            oldest = self._known.popleft()
            self._sum -= oldest.cost
            _remove(beneath, oldest)

    def salvage(self, beneath: Beneath, index: Index) -> None:
        """After a crash: what was moved aside and not yet kept is kept. Never raises OSError.

        It is known by its signature: the index still holds that of what stood there before.
        """
        with contextlib.suppress(OSError), self.keeping(beneath) as keeping:
            aside = _aside(beneath) if keeping is not None else []
            if keeping is None or not aside:
                return
            lost = {without_ctime(sig) for *_, sig in aside}
            seen = ((without_ctime(sig), path) for path, sig in index.seen())
            before = {sig: path for sig, path in seen if sig in lost}
            authors = {entry.path: entry.author for entry in index.journaled()}
            for system, batch, child, sig in aside:
                path = before.get(without_ctime(sig))
                if path is not None:
                    area = system.open(STAGING + b"/" + batch, DIRECTORY)
                    try:
                        keeping.move(child, area, path, authors.get(path, ""))
                    finally:
                        os.close(area)
            keeping.sync()


class Keeping:
    """Keeps what one commit replaces; `sync` makes it durable, before the index says that it was replaced."""

    def __init__(self, versions: Versions, beneath: Beneath, directories: Directories) -> None:
        self._versions = versions
        self._beneath = beneath
        self._directories = directories
        self._touched: set[TreePath] = set()

    def of(self, path: TreePath, author: str) -> Mover:
        """What moves away the thing that stood at ``path``, replaced by a version of ``author``."""
        return Mover(self, path, author)

    def move(self, child: bytes, directory: int, path: TreePath, author: str) -> bool:
        """Move a directory's child, which stood at ``path``, among the versions. Raises OSError.

        False, and nothing is done, for what is neither file nor link, for what is larger than all versions may be, and
        for what has another name still: there its content lives on, and may change.
        """
        status = os.stat(child, dir_fd=directory, follow_symlinks=False)
        kind, cost = kind_of(status), _cost(status)
        if kind is None or kind not in _KEPT or status.st_nlink > 1 or self.too_large(status):
            return False
        place = self._directory(TreePath(AREA + b"/" + path))
        now = time.time_ns()
        while True:
            kept = Kept(path, _id(now, author), kind, status.st_size, status.st_mtime_ns, now, cost)
            try:
                self._carry(child, directory, kept.id, place)
                break
            except FileExistsError:
                now += 1
        self._touched.add(TreePath(AREA + b"/" + path))
        self._versions.note(kept)
        return True

    def _carry(self, child: bytes, directory: int, label: bytes, place: int) -> None:
        """Move it, by way of a copy where the file system is another. Raises OSError, FileExistsError."""
        try:
            rename_beneath(child, directory, label, place, RENAME_NOREPLACE)
            return
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
        area = self._beneath.home.open(STAGING, DIRECTORY)
        try:
            copy_thing(child, directory, _COPY, area)
            rename_beneath(_COPY, area, label, place, RENAME_NOREPLACE)
        finally:
            os.close(area)
        os.unlink(child, dir_fd=directory)

    def too_large(self, status: os.stat_result) -> bool:
        """Whether it alone is larger than all versions together may be."""
        return _cost(status) > self._versions.most

    def sync(self) -> None:
        """Make durable what was kept. Raises OSError."""
        if len(self._touched) > _FEW:
            sync_file_system(self._beneath.fd)
        else:
            for path in self._touched:
                os.fsync(self._directories.get(path))
        self._touched.clear()

    def _directory(self, path: TreePath) -> int:
        try:
            return self._directories.get(path)
        except FileNotFoundError:
            if path == PRIVATE:
                raise
        above = self._directory(parent(path))
        with contextlib.suppress(FileExistsError):
            os.mkdir(name(path), 0o700, dir_fd=above)
        self._touched.add(parent(path))
        return self._directories.get(path)


@dataclass(frozen=True, slots=True)
class Mover:
    """Keeps one thing: called with its name aside, and the directory that it is in."""

    keeping: Keeping
    path: TreePath
    author: str

    def __call__(self, child: bytes, directory: int) -> bool:
        """Whether it was kept; else it is to be removed. Raises OSError."""
        return self.keeping.move(child, directory, self.path, self.author)


def kept_versions(beneath: Beneath, under: TreePath | None = None) -> Iterator[Kept]:
    """Every kept version, or those of a path and of what was below it, in no order. Never raises OSError."""
    waiting = [TreePath(AREA + b"/" + under if under else AREA)]
    while waiting:
        place = waiting.pop()
        with contextlib.suppress(OSError):
            for child, status in _children(beneath, place):
                if stat.S_ISDIR(status.st_mode):
                    waiting.append(TreePath(place + b"/" + child))
                elif (kept := _kept(place, child, status)) is not None:
                    yield kept


def _kept(place: TreePath, child: bytes, status: os.stat_result) -> Kept | None:
    kind, match = kind_of(status), _ID.fullmatch(child)
    if kind is None or match is None:
        return None
    try:
        path = tree_path(place[len(AREA) + 1 :])
        when = datetime.strptime(match[1].decode(), "%Y%m%d-%H%M%S").replace(tzinfo=UTC)
    except (InvalidPath, ValueError):
        return None
    kept_ns = (when - _EPOCH) // timedelta(seconds=1) * 1_000_000_000 + int(match[2])
    return Kept(path, child, kind, status.st_size, status.st_mtime_ns, kept_ns, _cost(status))


def _id(now_ns: int, author: str) -> bytes:
    seconds, fraction = divmod(now_ns, 1_000_000_000)
    when = _EPOCH + timedelta(seconds=seconds)
    who = re.sub(r"[^A-Za-z0-9._-]", "_", author)[:64] or "unknown"
    return f"{when:%Y%m%d-%H%M%S}.{fraction:09d}-{who}".encode()


def _cost(status: os.stat_result) -> int:
    return status.st_blocks * 512 + _EACH


def _remove(beneath: Beneath, kept: Kept) -> None:
    with contextlib.suppress(OSError), Directories(beneath) as directories:
        above = parent(kept.place)
        os.unlink(kept.id, dir_fd=directories.get(above))
        while above != AREA:
            os.rmdir(name(above), dir_fd=directories.get(parent(above)))
            above = parent(above)


def _aside(beneath: Beneath) -> list[tuple[System, bytes, bytes, bytes]]:
    """What lies in the staging areas: file system, batch, name, signature."""
    found = []
    for system in beneath.systems:
        with contextlib.suppress(OSError):
            for batch, status in list(_children(system, STAGING)):
                if stat.S_ISDIR(status.st_mode):
                    children = _children(system, STAGING + b"/" + batch)
                    some = [(child, signature(one)) for child, one in children if not stat.S_ISDIR(one.st_mode)]
                    found += [(system, batch, child, sig) for child, sig in some]
    return found


def _children(beneath: Beneath | System, path: bytes) -> Iterator[tuple[bytes, os.stat_result]]:
    fd = beneath.open(path, DIRECTORY)
    try:
        with os.scandir(fd) as listing:
            found = [(os.fsencode(item.name), item.stat(follow_symlinks=False)) for item in listing]
    finally:
        os.close(fd)
    yield from found
