"""Files on their way in: written aside in the tree's own file system, complete before they are shown."""

from __future__ import annotations

import contextlib
import os
from collections import OrderedDict
from typing import NamedTuple

from blake3 import blake3

from l2sync.modtree import PRIVATE, SHORTEST_CHUNK, Entry, TreePath, split_path

from .beneath import DIRECTORY, Beneath, System, sync_file_system
from .guard import no_room, pausing
from .holes import copy_all, has_holes, write_all
from .index import Noted
from .look import set_open_attributes
from .marking import make_private

AREA = PRIVATE + b"/staging"
_OPEN_FILES = 64
_FEW = 16
"""Up to so many files are made durable one by one; beyond, the whole file system at once is faster."""
_CREATE = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_WRITE = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC


class StagedFile:
    """A file being completed; ``left`` chunks are still to come."""

    __slots__ = ("area", "entry", "left", "made", "name")

    def __init__(self, entry: Entry, name: bytes, left: int, area: int) -> None:
        self.entry = entry
        self.area = area
        """The directory that it is in: of the file system that it is for."""
        self.name = name
        self.left = left
        self.made = False


class _Birth(NamedTuple):
    """What a file has of its own accord that is made in a directory."""

    bare: bool
    """No extended attributes."""
    mask: int
    """The bits of a mode that are not taken away."""
    owners: tuple[int, int]


class StagedBatch:
    """The staged files of one batch, in a directory of their own; one more in each file system mounted in the tree."""

    def __init__(self, beneath: Beneath, label: str) -> None:
        self.label = label
        self.beneath = beneath
        path = AREA + b"/" + label.encode()
        self.fd = _area(beneath.home, path)
        self._nested: dict[TreePath, tuple[int, int]] = {}
        """By where it is mounted: a file system's device, and the batch's directory in it."""
        self._left: list[int] = []
        """Such directories of file systems that are mounted no more."""
        self.files: dict[TreePath, StagedFile] = {}
        self.by_content: dict[bytes, list[StagedFile]] = {}
        self.journaled: dict[TreePath, Noted] = {}
        self.broken: dict[TreePath, str] = {}
        """Files given up, and why: they cannot be written, the others can."""
        self.ran_out: OSError | None = None
        """Set when space ran out and a file was given up for it: is there any left for the others?"""
        self.received = False
        """Whether anything came over the segment that would have to come again."""
        self._places: dict[int, list[tuple[StagedFile, int]]] = {}
        self.lengths: dict[int, int] = {}
        """By number, how long a chunk is."""
        self._open: OrderedDict[bytes, int] = OrderedDict()
        self._unsynced: list[tuple[int, bytes]] = []
        self._count = 0
        self._births: dict[int, _Birth] = {}

    def at(self, path: TreePath) -> int:
        """The batch's directory in the file system that ``path`` is on. Raises OSError."""
        if self.beneath.plain or not (system := self.beneath.system(path)).nested:
            return self.fd
        known = self._nested.get(system.top)
        if known is not None and known[0] == system.device:
            return known[1]
        fd = _area(system, AREA + b"/" + self.label.encode())
        if known is not None:
            self._left.append(known[1])
        self._nested[system.top] = system.device, fd
        return fd

    def expect(self, entry: Entry, numbers: dict[bytes, int]) -> None:
        """Make room for a file whose chunks have these numbers in the batch. Raises OSError, KeyError."""
        only = entry.only_hash
        if only is not None:
            number = numbers[only]
            file = StagedFile(entry, staged_name(entry.path), 1, self.at(entry.path))
            self.lengths[number] = entry.size
            self._places.setdefault(number, []).append((file, 0))
        else:
            file = self._expect_many(entry, numbers)
        self.files[entry.path] = file
        self.by_content.setdefault(entry.chunks, []).append(file)

    def _expect_many(self, entry: Entry, numbers: dict[bytes, int]) -> StagedFile:
        chunks = entry.chunk_list()
        places = [numbers[chunk.hash] for chunk in chunks]
        file = StagedFile(entry, staged_name(entry.path), len(chunks), self.at(entry.path))
        offset = 0
        for number, chunk in zip(places, chunks, strict=True):
            self.lengths[number] = chunk.length
            self._places.setdefault(number, []).append((file, offset))
            offset += chunk.length
        return file

    def fresh_name(self) -> bytes:
        """A name in the batch's directory that nothing has yet."""
        self._count += 1
        return b"%x" % self._count

    @property
    def complete(self) -> bool:
        """Whether no chunk is still to come."""
        return not self._places

    @property
    def missing(self) -> list[int]:
        """Numbers of the chunks still to come."""
        return sorted(self._places)

    @property
    def parts(self) -> list[int]:
        """Those of them that are no small file's only one: of one of these, nobody asks whether it holds zeros."""
        return [
            number
            for number, places in self._places.items()
            if self.lengths[number] >= SHORTEST_CHUNK or any(file.left > 1 for file, _ in places)
        ]

    def awaits(self, number: int) -> bool:
        """Whether this chunk is still to come."""
        return number in self._places

    def write(self, number: int, data: bytes | memoryview | None) -> None:
        """Put a chunk (None: one of zeros) where it belongs; one that is not awaited is passed over. Raises OSError."""
        places = self._places.get(number)
        if places is None:
            return
        while places:  # one by one, so that a chunk that met a full disk can be written again
            file, offset = places[-1]
            try:
                self._write_at(file, offset, data)
            except OSError as error:
                self.bear(error, file)
                if number not in self._places:
                    return
                continue
            places.pop()
        del self._places[number]

    def only_place(self, number: int) -> tuple[StagedFile, int] | None:
        """The file and the offset where an awaited chunk belongs; None if there are several."""
        places = self._places.get(number, ())
        return places[0] if len(places) == 1 else None

    def filled(self, file: StagedFile, fd: int, numbers: list[int]) -> None:
        """These chunks, of which each has one place only, have been written there, to what `descriptor` gave."""
        for number in numbers:
            del self._places[number]
        self._filled(file, fd, len(numbers))

    def give_up(self, path: TreePath, reason: str) -> None:
        """Await nothing more of a file, and let go of the space that it took."""
        file = self.files.pop(path)
        self.broken[path] = reason
        self.by_content[file.entry.chunks].remove(file)
        for number, places in list(self._places.items()):
            places[:] = [place for place in places if place[0] is not file]
            if not places:
                del self._places[number]
        if (fd := self._open.pop(file.name, None)) is not None:
            os.close(fd)
        with contextlib.suppress(OSError):
            os.unlink(file.name, dir_fd=file.area)

    def make_empty(self, entry: Entry) -> StagedFile:
        """Stage a file without content. Raises OSError."""
        file = StagedFile(entry, self.fresh_name(), 1, self.at(entry.path))
        self._write_whole(file, b"")
        self.files[entry.path] = file
        return file

    def copy_open(self, entry: Entry, source: int, size: int) -> StagedFile:
        """Stage a copy of an open file, in the file system itself where it can. Raises OSError, EOFError."""
        file = StagedFile(entry, self.fresh_name(), 0, self.at(entry.path))
        fd = os.open(file.name, _CREATE, 0o600, dir_fd=file.area)
        try:
            copy_all(source, fd, size)
            set_open_attributes(entry, fd, self.beneath.system(entry.path).xattrs)
        finally:
            os.close(fd)
        file.made = True
        self._unsynced.append((file.area, file.name))
        return file

    def sync(self) -> None:
        """Make durable what was completed since the last call. Raises OSError."""
        if len(self._unsynced) > _FEW:
            for area in {area for area, _ in self._unsynced}:
                sync_file_system(area)
        else:
            for area, staged in self._unsynced:
                with contextlib.suppress(FileNotFoundError):
                    fd = os.open(staged, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=area)
                    try:
                        os.fdatasync(fd)
                    finally:
                        os.close(fd)
        self._unsynced.clear()

    def close(self, keep: bool = False) -> None:
        """Forget the batch and, unless they are to be kept for another, its files."""
        while self._open:
            os.close(self._open.popitem()[1])
        if not keep:
            _remove(self.fd, self.label)
        os.close(self.fd)
        for fd in (*self._left, *(fd for _, fd in self._nested.values())):
            _remove(fd, self.label)  # what is kept is found again in the root's file system only
            os.close(fd)

    def bear(self, error: OSError, file: StagedFile) -> None:
        """Go on without the file that met an error, or without the largest where space ran out. Raises the error."""
        if file.area != self.fd:
            tops = [os.fsdecode(top) for top, (_, fd) in self._nested.items() if fd == file.area]
            self.give_up(file.entry.path, f"{error.strerror or error} (on what is mounted at {', '.join(tops)})")
        elif no_room(error):
            begun = [one for one in self.files.values() if one.left and one.made]
            if not begun:
                raise error
            self.ran_out = error
            largest = max(begun, key=lambda one: one.entry.size)
            self.give_up(largest.entry.path, "no space left for it")
        elif pausing(error):
            raise error
        else:
            self.give_up(file.entry.path, error.strerror or str(error))

    def _write_at(self, file: StagedFile, offset: int, data: bytes | memoryview | None) -> None:
        if file.left == 1 and not file.made:
            self._write_whole(file, data)
            return
        fd = self.descriptor(file)
        if data is not None:
            write_all(fd, data, offset)
        self._filled(file, fd)

    def _filled(self, file: StagedFile, fd: int, count: int = 1) -> None:
        """So many more chunks of a file are where they belong."""
        if file.left == count:
            self._finish(file, fd)
        file.left -= count

    def _write_whole(self, file: StagedFile, data: bytes | memoryview | None) -> None:
        entry = file.entry
        fd = os.open(file.name, _CREATE, entry.mode & 0o777 | 0o600, dir_fd=file.area)
        try:
            if data is None or has_holes(data):
                os.ftruncate(fd, entry.size)
            if data is not None:
                write_all(fd, data, 0)
            if self._born_right(file):
                os.utime(fd, ns=(entry.mtime_ns, entry.mtime_ns))
            else:
                set_open_attributes(entry, fd, self.beneath.system(entry.path).xattrs)
        except OSError:
            os.unlink(file.name, dir_fd=file.area)
            raise
        finally:
            os.close(fd)
        file.made = True
        file.left = 0
        self._unsynced.append((file.area, file.name))

    def _born_right(self, file: StagedFile) -> bool:
        """Whether a file that is made in its directory has the owner, mode and attributes of its entry by that."""
        born, entry = self._births.get(file.area), file.entry
        if born is None:
            born = self._births[file.area] = self._birth(file)
        masked = (entry.mode & 0o777 | 0o600) & born.mask
        return born.bare and not entry.xattrs and masked == entry.mode and born.owners == (entry.uid, entry.gid)

    def _birth(self, file: StagedFile) -> _Birth:
        """Find it out by making one."""
        name = self.fresh_name()
        fd = os.open(name, _CREATE, 0o777, dir_fd=file.area)
        try:
            status = os.fstat(fd)
            bare = not self.beneath.system(file.entry.path).xattrs.of_open(fd)
            return _Birth(bare, status.st_mode & 0o777, (status.st_uid, status.st_gid))
        finally:
            os.close(fd)
            os.unlink(name, dir_fd=file.area)

    def descriptor(self, file: StagedFile) -> int:
        """A file that is being completed, open for reading and writing. Raises OSError."""
        fd = self._open.get(file.name)
        if fd is not None:
            self._open.move_to_end(file.name)
            return fd
        if len(self._open) >= _OPEN_FILES:
            os.close(self._open.popitem(last=False)[1])
        fd = os.open(file.name, _WRITE if file.made else _CREATE, 0o600, dir_fd=file.area)
        if not file.made:
            file.made = True
            try:
                os.ftruncate(fd, file.entry.size)
            except OSError:
                os.close(fd)
                raise
        self._open[file.name] = fd
        return fd

    def _finish(self, file: StagedFile, fd: int) -> None:
        set_open_attributes(file.entry, fd, self.beneath.system(file.entry.path).xattrs)
        os.close(self._open.pop(file.name))
        self._unsynced.append((file.area, file.name))


def staged_name(path: TreePath) -> bytes:
    """Under which name a path's content is staged: known again after a crash, when the journal tells the paths."""
    return blake3(path).hexdigest(16).encode()


def _area(system: System, path: bytes) -> int:
    """A batch's directory, made where it is missing, and empty. Raises OSError."""
    make_private(system)
    for part in (AREA, path):
        above, child = split_path(TreePath(part))
        directory = system.open(above, DIRECTORY)
        try:
            with contextlib.suppress(FileExistsError):
                os.mkdir(child, 0o700, dir_fd=directory)
        finally:
            os.close(directory)
    fd = system.open(path, DIRECTORY)
    _empty(fd)
    return fd


def _empty(fd: int) -> None:
    for left in os.listdir(fd):
        os.unlink(left, dir_fd=fd)


def _remove(fd: int, label: str) -> None:
    """Remove a batch's directory, whatever is above it by now."""
    with contextlib.suppress(OSError):
        _empty(fd)
        area = os.open(b"..", DIRECTORY, dir_fd=fd)
        try:
            os.rmdir(label, dir_fd=area)
        finally:
            os.close(area)
