"""Whether a tree can be trusted now: its root in place and marked as ours, writable, with room."""

from __future__ import annotations

import errno
import os
import time
from contextlib import suppress
from pathlib import Path

from l2sync.modtree import PRIVATE

from .beneath import Beneath
from .index import Index
from .marking import read_mark, write_mark

_WRITTEN = PRIVATE + b"/written"
_PROBE = b"probe"
GENERATION_S = 60.0
"""The least time between two generations: what happens in one cannot be told apart."""
RESERVE = 4 << 20
"""Bytes without which a tree is taken for full."""
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


class Paused(Exception):
    """Nothing may be taken from the tree or put into it now; ``reason`` says why, for status and log.

    ``held``: the root is there, and is not the tree that the index knows: a user must say which of the two is right.
    """

    def __init__(self, reason: str, held: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.held = held


def no_room(error: OSError) -> bool:
    """Whether a full file system, or an exhausted quota, is the trouble."""
    return error.errno in _NO_ROOM


def pausing(error: OSError) -> str | None:
    """The reason to pause that lies in an error; None for troubles of a single file."""
    if no_room(error):
        return "no space left on the tree's file system"
    if error.errno == errno.EROFS:
        return "the tree's file system is read-only"
    if error.errno == errno.ESTALE:
        return "the tree's file system is gone"
    return None


class Guard:
    """Holds the root open, and looks before each operation whether it still is the tree that the index knows."""

    def __init__(self, root: Path, index: Index) -> None:
        self.root = root
        self._index = index
        self._beneath: Beneath | None = None
        self._full = False
        self.outdated = False
        """Whether the index was found to be from an earlier time than the tree."""
        self._stale = False
        self._advanced = -GENERATION_S
        self.lost = index.meta("lost") == "1"
        """Whether the index replaces one that was lost, and has not been found to lack nothing yet."""

    def check(self) -> Beneath:
        """The root, fit for use. Raises Paused."""
        beneath = self._opened()
        self._check_marker(beneath)
        if self._full:
            self._check_room(beneath)
        return beneath

    def accept(self) -> None:
        """What stands at the root is the tree from now on, whatever its mark says. Raises Paused."""
        self._mark(self._opened())
        self.wrote()

    def note(self, error: OSError) -> str | None:
        """Take note of an error; the reason when the tree must pause for it."""
        if no_room(error):
            self._full = True
        return pausing(error)

    def close(self) -> None:
        """Let go of the root."""
        if self._beneath is not None:
            self._beneath.close()
            self._beneath = None

    def _opened(self) -> Beneath:
        try:
            status = os.stat(self.root)
            if self._beneath is not None and self._beneath.identity != (status.st_dev, status.st_ino):
                self.close()
            if self._beneath is None:
                self._beneath = Beneath(self.root)
        except OSError as error:
            self.close()
            raise Paused(f"the root {self.root} cannot be opened: {error.strerror}") from error
        if os.fstatvfs(self._beneath.fd).f_flag & os.ST_RDONLY:
            raise Paused("the tree's file system is read-only")
        return self._beneath

    def _check_marker(self, beneath: Beneath) -> None:
        """The marker tells the tree from the empty directory that an unmounted disk leaves behind."""
        wanted = (self._index.meta("marker") or "").encode()
        found, generation = _read_marker(beneath)
        if found == wanted:
            self._check_generation(beneath, generation)
            return
        if self._index.populated():
            self.close()  # a root that is held open cannot be unmounted
            what = "is not marked" if found is None else "carries the mark of another tree"
            raise Paused(f"the root {self.root} {what}: is its disk mounted?", held=True)
        if found is not None:
            self._index.set_meta("lost", "1")
            self.lost = True
        self._mark(beneath)
        self.wrote()

    def _check_generation(self, beneath: Beneath, found: int) -> None:
        """The mark counts generations, as the index does: the one that is behind comes from an earlier time."""
        known = self._generation
        if found == known:
            return
        if found > known:
            self.outdated = True
            self._index.set_meta("generation", str(found))
        elif found == known - 1 and self._index.meta("advancing") == "1":
            self._mark(beneath)
            self._index.set_meta("advancing", "0")
        else:
            self.close()
            raise Paused(f"{self.root} is as it was at an earlier time: did a snapshot or a backup return?", held=True)

    def wrote(self) -> None:
        """Note beside the tree how far the index has counted: by that, one that falls back is known, however young.

        It is not made durable: only who loses power and state at once has to be known by the generation.
        """
        if self._beneath is not None:
            with suppress(OSError):
                fd = self._beneath.open(_WRITTEN, os.O_WRONLY | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
                try:
                    os.pwrite(fd, b"%016x %020d\n" % (self._index.replica, self._index.counter), 0)
                finally:
                    os.close(fd)

    def fallen_back(self) -> bool:
        """Whether the index is from an earlier time than the tree; asked once, when it has been opened and checked."""
        if self._beneath is None or self.outdated:
            return self.outdated
        try:
            fd = self._beneath.open(_WRITTEN, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            noted = os.read(fd, 64).split()
        finally:
            os.close(fd)
        if len(noted) != 2 or not noted[1].isdigit():
            return False
        replica = b"%016x" % self._index.replica
        self.outdated = noted[0] != replica or int(noted[1]) > self._index.counter
        return self.outdated

    @property
    def _generation(self) -> int:
        return int(self._index.meta("generation") or 0)

    def changed(self) -> None:
        """The index has learned something: a snapshot taken until now is from an earlier time."""
        self._stale = True
        self.advance()

    def advance(self) -> None:
        """Begin a new generation, if there is reason to and the last one is not too young. Raises Paused."""
        now = time.monotonic()
        if not self._stale or now - self._advanced < GENERATION_S or self._beneath is None:
            return
        self._stale, self._advanced = False, now
        self._index.set_meta("advancing", "1")
        self._index.set_meta("generation", str(self._generation + 1))
        self._mark(self._beneath)
        self._index.set_meta("advancing", "0")

    def _mark(self, beneath: Beneath) -> None:
        try:
            write_mark(beneath.home, b"%s %d" % ((self._index.meta("marker") or "").encode(), self._generation))
        except OSError as error:
            raise Paused(self.note(error) or f"the root cannot be marked: {error.strerror}") from error

    def _check_room(self, beneath: Beneath) -> None:
        """Once full, the tree pauses until a few MB can be had."""
        try:
            directory = beneath.open(PRIVATE, os.O_RDONLY | os.O_DIRECTORY)
            try:
                flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
                fd = os.open(_PROBE, flags, 0o600, dir_fd=directory)
                try:
                    os.posix_fallocate(fd, 0, RESERVE)
                finally:
                    os.close(fd)
                    os.unlink(_PROBE, dir_fd=directory)
            finally:
                os.close(directory)
        except OSError as error:
            raise Paused(pausing(error) or f"the tree cannot be written: {error.strerror}") from error
        self._full = False


def _read_marker(beneath: Beneath) -> tuple[bytes | None, int]:
    """What the root is marked with: whose it is, and the generation."""
    try:
        found = read_mark(beneath.home)
    except OSError as error:
        if error.errno == errno.ELOOP:
            return None, 0
        raise Paused(f"the tree's mark cannot be read: {error.strerror}") from error
    if found is None:
        return None, 0
    mark, _, generation = found.partition(b" ")
    return mark, int(generation) if generation.isdigit() else 0
