"""File systems that are mounted within a tree: which belong to it, and of which places nothing can be said.

A mount comes and goes, and what goes with it was not deleted. So each file system that belongs to a tree is marked at
its top, and the index remembers which mark was where: a place whose mark is not there is left alone, until it is back
or an administrator says that it does not come back.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import secrets
import select
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from l2sync.modtree import PRIVATE, ROOT, InvalidPath, TreePath, ancestors, covers, tree_path

from .beneath import DIRECTORY, Beneath, System, open_beneath
from .index import Index
from .marking import read_mark, write_mark
from .staging import AREA

_TABLE = "/proc/self/mountinfo"
_KEY = "mounts"
_WITHIN = b"within"
_OCTAL = re.compile(rb"\\([0-7]{3})")
_APART = "another file system is mounted there, which is not part of the tree"


@dataclass(frozen=True, slots=True)
class View:
    """What was found: the devices of the file systems that belong to the tree, by where they are, and places shut."""

    crossed: Mapping[TreePath, int] = field(default_factory=dict)
    closed: Mapping[TreePath, str] = field(default_factory=dict)


class NotCrossed(Exception):
    """A file system does not belong to the tree; ``trouble``: an administrator has something to do about it."""

    def __init__(self, reason: str, trouble: bool = True) -> None:
        super().__init__(reason)
        self.trouble = trouble


class Mounts:
    """The mounts of one tree. ``cross``: whether those that appear come to belong to it."""

    def __init__(self, name: str, root: Path, index: Index, cross: bool) -> None:
        self.view = View()
        """For any thread."""
        self.troubles: dict[TreePath, str] = {}
        """Places to see to, and why."""
        self.fresh: list[System] = []
        """Newly found to belong to the tree: what an agent that was killed has left in them is to be cleaned up."""
        self._name = name
        self._root = root
        self._index = index
        self._cross = cross
        self._known: dict[TreePath, bytes] = _remembered(index)
        self._systems: dict[TreePath, System] = {}
        self._points: list[TreePath] = []
        self._over: dict[TreePath, str] = {}
        """What was found to hide entries, and is not asked for them again."""
        self._table = os.open(_TABLE, os.O_RDONLY | os.O_CLOEXEC)
        self._poll = select.poll()
        self._poll.register(self._table, select.POLLERR | select.POLLPRI)
        self._unseen = True
        self._news = False

    @property
    def stale(self) -> bool:
        """Whether something was mounted or unmounted, anywhere, that `enter` has not seen yet."""
        self._unseen |= any(events & select.POLLERR for _, events in self._poll.poll(0))
        return self._unseen

    def remounted(self) -> bool:
        """Whether `enter` has found something else since this was last called."""
        news, self._news = self._news, False
        return news

    def enter(self, beneath: Beneath) -> None:
        """Find out what is mounted now, and open what belongs to the tree until `leave`. Raises no OSError."""
        if self.stale:
            self._unseen = False
            self._points = mount_points(self._root)
            self._over.clear()
        if not self._points and not self._known:
            if not beneath.plain:
                self._note(beneath, {}, {}, {})
            return
        tops, closed, troubles = dict[TreePath, System](), dict[TreePath, str](), dict[TreePath, str]()
        for path in self._points:
            if any(above in closed for above in ancestors(path)):
                continue
            try:
                tops[path] = self._open(path, beneath, tops)
            except NotCrossed as reason:
                closed[path] = str(reason)
                if reason.trouble or path in self._known:
                    troubles[path] = str(reason)
        for path in self._known:
            if path not in tops and not any(place in closed for place in (path, *ancestors(path))):
                closed[path] = troubles[path] = self._ask("the file system that was mounted here is not: mount it")
        self._note(beneath, tops, closed, troubles)

    def leave(self, beneath: Beneath) -> None:
        """Let go of what `enter` has opened: what is held open cannot be unmounted."""
        for system in beneath.systems:
            if system.nested:
                system.close()
        beneath.attach({}, dict(self.view.closed) | dict.fromkeys(self.view.crossed, "it is not open"))

    def allow(self, path: TreePath, beneath: Beneath) -> str | None:
        """An administrator says that what is at ``path`` now is right; what that means, None if nothing was asked.

        Raises NotCrossed.
        """
        if path not in self.troubles:
            return None
        self._over.pop(path, None)
        if self._cross and path in self._points:
            self._take(path, beneath)
            return "what is mounted there belongs to the tree, and what it lacks counts as deleted"
        self._known.pop(path, None)
        self._remember()
        if path in self._points:
            return "what is mounted there is not part of the tree any more"
        return "what was mounted there does not come back, and counts as deleted"

    def close(self) -> None:
        """Look no more."""
        table, self._table = self._table, -1
        if table >= 0:
            os.close(table)

    # --- finding out ------------------------------------------------------------------------------

    def _open(self, path: TreePath, beneath: Beneath, tops: Mapping[TreePath, System]) -> System:
        """The file system mounted at ``path``, open, if it belongs to the tree. Raises NotCrossed."""
        if not self._cross:
            raise NotCrossed(_APART, trouble=False)
        system = self._reopened(path, _opened(path, beneath, tops))
        try:
            if any(system.device == other.device for other in (beneath.home, *tops.values())):
                raise NotCrossed("a part of a file system of the tree is mounted here a second time", trouble=False)
            self._judge(path, system)
        except NotCrossed:
            system.close()
            raise
        except OSError as error:
            system.close()
            raise NotCrossed(f"the file system that is mounted here cannot be used: {error.strerror}") from error
        return system

    def _reopened(self, path: TreePath, fd: int) -> System:
        """What was found out of a file system is kept while it is the same."""
        known = self._systems.get(path)
        if known is not None and known.device == os.fstat(fd).st_dev:
            known.fd = fd
            return known
        return System(path, fd)

    def _judge(self, path: TreePath, system: System) -> None:
        mark, known = read_mark(system), self._known.get(path)
        if mark is not None and not mark.startswith(_WITHIN + b" "):
            raise NotCrossed("the root of another tree is mounted here")
        if known is not None:
            if mark != known:
                raise NotCrossed(self._ask("another file system than before is mounted here: mount the right one"))
        else:
            self._settle(path, mark, system)
        if self._systems.get(path) is not system:
            self._systems[path] = system
            self.fresh.append(system)

    def _settle(self, path: TreePath, mark: bytes | None, system: System) -> None:
        """A file system stands where none did before."""
        if path not in self._over and (hidden := len(self._index.alive(path))):
            self._over[path] = self._ask(f"a file system is mounted over {hidden:,} entries: unmount it")
        if path in self._over:
            raise NotCrossed(self._over[path])
        for place in [place for place, one in self._known.items() if one == mark and place not in self._points]:
            del self._known[place]  # it has moved
        self._adopt(path, mark, system)

    def _adopt(self, path: TreePath, mark: bytes | None, system: System) -> None:
        if mark is None or mark in self._known.values():
            mark = b"%s %s" % (_WITHIN, secrets.token_hex(16).encode())
            write_mark(system, mark)
        self._known[path] = mark
        self._remember()

    def _take(self, path: TreePath, beneath: Beneath) -> None:
        """Have what is mounted at ``path`` for the tree's, whatever it hides. Raises NotCrossed."""
        tops = {system.top: system for system in beneath.systems if system.nested}
        system = System(path, _opened(path, beneath, tops))
        try:
            mark = read_mark(system)
            if mark is not None and not mark.startswith(_WITHIN + b" "):
                raise NotCrossed("the root of another tree is mounted there")
            self._adopt(path, mark, system)
        except OSError as error:
            raise NotCrossed(f"it cannot be used: {error.strerror}") from error
        finally:
            system.close()

    def _ask(self, what: str) -> str:
        return f"{what}, or say with `l2sync approve {self._name}:PATH` that this is right"

    def _note(
        self,
        beneath: Beneath,
        tops: dict[TreePath, System],
        closed: dict[TreePath, str],
        troubles: dict[TreePath, str],
    ) -> None:
        self.troubles = {path: why.replace(":PATH`", f":{_text(path)}`") for path, why in troubles.items()}
        closed |= self.troubles
        beneath.attach(tops, closed)
        self._systems = {path: self._systems[path] for path in tops}
        before, self.view = self.view, View({path: system.device for path, system in tops.items()}, closed)
        self._news |= before != self.view

    def _remember(self) -> None:
        self._index.set_meta(_KEY, json.dumps({path.hex(): mark.decode() for path, mark in self._known.items()}))


@contextlib.contextmanager
def entered(beneath: Beneath, view: View) -> Iterator[Beneath]:
    """For looks in other threads: what was found, opened for a while. Raises no OSError."""
    tops: dict[TreePath, System] = {}
    closed = dict(view.closed)
    for path, device in sorted(view.crossed.items()):
        try:
            system = System(path, _opened(path, beneath, tops))
        except NotCrossed as reason:
            closed[path] = str(reason)
            continue
        if system.device == device:
            tops[path] = system
        else:
            system.close()
            closed[path] = _APART
    beneath.attach(tops, closed)
    try:
        yield beneath
    finally:
        for system in tops.values():
            system.close()
        beneath.attach({}, {})


def clean(system: System, keep: frozenset[str] = frozenset()) -> None:
    """Remove what was staged in a file system by an agent that was killed. Never raises OSError."""
    with contextlib.suppress(OSError):
        area = system.open(AREA, DIRECTORY)
        try:
            for child in set(os.listdir(area)) - keep:
                shutil.rmtree(child, ignore_errors=True, dir_fd=area)
        finally:
            os.close(area)


def mount_points(root: Path) -> list[TreePath]:
    """Where something is mounted beneath a tree's root, outer ones first."""
    top = os.fsencode(os.path.realpath(root)).rstrip(b"/") + b"/"
    found = set()
    with open(_TABLE, "rb") as table:
        for line in table:
            point = _OCTAL.sub(lambda match: bytes([int(match[1], 8)]), line.split(b" ", 5)[4])
            if point.startswith(top):
                with contextlib.suppress(InvalidPath):
                    found.add(tree_path(point[len(top) :]))
    return sorted(path for path in found if not covers(TreePath(PRIVATE), path))


def _opened(path: TreePath, beneath: Beneath, tops: Mapping[TreePath, System]) -> int:
    above = next((one for one in ancestors(path) if one in tops), ROOT)
    system = tops.get(above, beneath.home)
    try:
        return open_beneath(system.fd, path[len(above) + 1 :] if above else path, DIRECTORY, crossing=True)
    except OSError as error:
        trouble = error.errno != errno.ENOTDIR  # a file may be a mount point as well
        raise NotCrossed(f"what is mounted here cannot be opened: {error.strerror}", trouble) from error


def _remembered(index: Index) -> dict[TreePath, bytes]:
    found = json.loads(index.meta(_KEY) or "{}")
    return {TreePath(bytes.fromhex(path)): mark.encode() for path, mark in found.items()}


def _text(path: bytes) -> str:
    return path.decode("utf-8", "backslashreplace")
