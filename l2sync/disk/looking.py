"""Looks at a tree: what differs from the index, and what cannot be looked at now."""

from __future__ import annotations

import errno
import time
from collections.abc import Iterable

from l2sync.modtree import Observation, TreePath

from .beneath import Beneath
from .durable import make_durable
from .firstlook import FirstLook, Look, LookAt
from .guard import Guard
from .ignore import Ignore, IgnoredDirectories
from .index import Index
from .mounts import Mounts
from .placed import Placed
from .scanner import PASSING, Findings, Scanner
from .versions import Versions


class Looking:
    """The looks of one store. Whatever they find is durable, parents first, before it is told."""

    def __init__(
        self, index: Index, guard: Guard, mounts: Mounts, ignore: Ignore, devices: bool, versions: Versions
    ) -> None:
        self.unsettled: set[TreePath] = set()
        """What changed while it was looked at: to be scanned again soon."""
        self.unreadable: dict[TreePath, str] = {}
        """What could not be looked at, and why: trying again soon is no use, each scan of the whole tree tries."""
        self.carried: list[str] = []
        """Namespaces of extended attributes that are neither set nor missed here, since the file system lacks them."""
        self.ignored = IgnoredDirectories(ignore)
        """Which directories are not looked at."""
        self.seen: dict[TreePath, tuple[bytes, Observation]] = {}
        """Signatures for the entries that are made of what was found."""
        self.placed = Placed()
        """What commits have put in place."""
        self._index = index
        self._guard = guard
        self._mounts = mounts
        self._ignore = ignore
        self._devices = devices
        self._versions = versions
        self._look: Look | None = None
        """A look at what is new that has not come to its end."""
        self._fresh = False
        self._shut: dict[TreePath, str] = {}
        """What was told of places where something is mounted, or was."""

    def scan(self, beneath: Beneath, paths: Iterable[TreePath] | None) -> list[Observation]:
        """Look at these paths (None: all). Raises Paused, OSError."""
        if self._ignore.refresh(beneath):
            paths = None
            self.ignored.changed()
        self.placed.clear()
        scanner = Scanner(beneath, self._index, self._ignore, self._devices)
        if paths is None:
            found = scanner.whole()
            self._tell_carried(beneath)
            self.unsettled, self.unreadable = found.unsettled, found.unreadable
            self._versions.recount()
            self._versions.thin(beneath, time.time_ns())
        else:
            paths = set(paths)
            found = scanner.some(paths)
            self._note_troubles(paths, found)
        return self._noted(found, beneath)

    def at(self, beneath: Beneath, paths: Iterable[TreePath]) -> tuple[list[Observation], bool]:
        """As `scan`, but of new directories only the first portion, and whether there is more: `on` tells it."""
        paths = set(paths)
        if self._look is not None:
            return self.scan(beneath, paths), False
        if self._ignore.refresh(beneath):
            self.ignored.changed()
            return self.scan(beneath, None), False
        known = self.placed.unchanged(paths, beneath)
        wanted = (paths | known.inside) - known.paths
        self.placed.looked_at(wanted - known.inside)
        look = LookAt(beneath, self._index, self._ignore, self._devices, wanted, known.inside)
        found, more = look.portion(beneath) if wanted else (Findings(), False)
        self._note_troubles(paths, found)
        self._look = look if more else None
        return self._noted(found, beneath), more

    def begin(self) -> None:
        """Look at all of the tree next, whatever was begun."""
        self._look = None
        self._fresh = not self._index.populated()

    def on(self, beneath: Beneath, anew: bool) -> tuple[list[Observation], bool]:
        """The next portion of the look that was begun; ``anew``: the first. And whether there is more."""
        if self._look is None:
            if not (anew and self._fresh):
                return self.scan(beneath, None), False
            self._ignore.refresh(beneath)
            self.unsettled, self.unreadable = set(), {}
            self._look = FirstLook(beneath, self._index, self._ignore, self._devices)
        self.placed.clear()
        look, self._look = self._look, None  # should it fail, it is at its end
        found, more = look.portion(beneath)
        self.unsettled |= found.unsettled
        self.unreadable |= found.unreadable
        if more:
            self._look = look
        else:
            self._tell_carried(beneath)
        return self._noted(found, beneath), more

    def cannot_read(self, path: TreePath, error: OSError) -> None:
        """A file is there and its content is not to be had: each scan of it tries to read all of it, until it can."""
        if error.errno not in (*PASSING, errno.EXDEV):
            self.unreadable[path] = error.strerror or str(error)
            self._index.set_signatures([(path, b"")])

    def _note_troubles(self, paths: set[TreePath], found: Findings) -> None:
        self.unsettled = (self.unsettled - paths) | found.unsettled
        kept = {path: why for path, why in self.unreadable.items() if path not in paths}
        self.unreadable = kept | found.unreadable

    def _noted(self, found: Findings, beneath: Beneath) -> list[Observation]:
        if any(seen.deleted for seen in found.observations):
            self._guard.check()  # what vanished with its disk was not deleted
        self.unreadable = {path: why for path, why in self.unreadable.items() if path not in self._shut}
        self._shut = dict(self._mounts.troubles)
        self.unreadable |= self._shut
        make_durable(found.observations, beneath)
        self.seen.update(found.signatures)
        self._index.set_signatures(found.refreshed)
        return found.observations

    def _tell_carried(self, beneath: Beneath) -> None:
        self.carried = sorted({one for system in beneath.systems for one in system.xattrs.lacking})
