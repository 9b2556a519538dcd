"""What is wrong with single paths of one tree, and when each is tried again: a fault of one file holds up no other.

Two kinds, each of which heals in a way of its own: a version that cannot be put in place here (when its wait is
over, the next offer of it is let through), and a path that cannot be read here (it is looked at again).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from l2sync.modtree import TreePath

from .api import NodeSettings

Doing = Literal["apply", "read"]
"""What fails: putting another node's version in place here, or reading what stands here."""


@dataclass(slots=True)
class Trouble:
    """One path's trouble; times in ns. ``version`` names the version that failed, empty where none was in question."""

    reason: str
    version: bytes
    wait: int
    retry_at: int


class Told(NamedTuple):
    """A trouble as it is told to people."""

    path: TreePath
    doing: Doing
    trouble: Trouble


@dataclass(slots=True)
class Troubles:
    """All troubles of one tree."""

    settings: NodeSettings
    failing: dict[TreePath, Trouble] = field(default_factory=dict)
    unreadable: dict[TreePath, Trouble] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.failing) + len(self.unreadable)

    def summary(self) -> str:
        """How many there are of each kind, in words."""
        parts = []
        if self.failing:
            parts.append(f"{_entries(len(self.failing))} cannot be brought up to date here")
        if self.unreadable:
            parts.append(f"{_entries(len(self.unreadable))} cannot be read here")
        return ", ".join(parts)

    def all(self) -> Iterator[Told]:
        """Every trouble, by path."""
        told = [Told(path, "apply", trouble) for path, trouble in self.failing.items()]
        told += [Told(path, "read", trouble) for path, trouble in self.unreadable.items()]
        yield from sorted(told, key=lambda one: one.path)

    def of(self, path: TreePath) -> Iterator[Told]:
        """The troubles of one path."""
        if path in self.failing:
            yield Told(path, "apply", self.failing[path])
        if path in self.unreadable:
            yield Told(path, "read", self.unreadable[path])

    # --- putting in place -------------------------------------------------------------------------

    def cannot_apply(self, path: TreePath, reason: str, version: bytes, now: int) -> None:
        """A version could not be put in place; the wait before the next try doubles."""
        self._note(self.failing, path, reason, version, now)

    def held_back(self, path: TreePath, version: bytes, now: int) -> bool:
        """Whether this version failed here not long ago."""
        trouble = self.failing.get(path)
        return trouble is not None and trouble.version == version and now < trouble.retry_at

    def applied(self, path: TreePath) -> None:
        """The path has come to a version."""
        self.failing.pop(path, None)

    # --- reading ----------------------------------------------------------------------------------

    def cannot_read(self, paths: Mapping[TreePath, str], now: int) -> list[TreePath]:
        """All that scans cannot look at now; returns what has healed."""
        healed = [path for path in self.unreadable if path not in paths]
        for path in healed:
            del self.unreadable[path]
        for path, reason in paths.items():
            known = self.unreadable.get(path)
            if known is None:
                self._note(self.unreadable, path, reason, b"", now)
            else:
                known.reason = reason
        return healed

    # --- time -------------------------------------------------------------------------------------

    def hurry(self, now: int) -> None:
        """Somebody looks at the whole tree: try at the next occasion what could not be put in place."""
        for trouble in self.failing.values():
            trouble.retry_at = min(trouble.retry_at, now)

    def to_look_at(self, now: int) -> list[TreePath]:
        """Unreadable paths whose wait is over; the next is twice as long."""
        due = [trouble for trouble in self.unreadable.items() if trouble[1].retry_at <= now]
        for _, trouble in due:
            trouble.wait = min(trouble.wait * 2, self.settings.retry_most)
            trouble.retry_at = now + trouble.wait
        return [path for path, _ in due]

    def next_deadline(self) -> int | None:
        """When `to_look_at` has something."""
        return min((trouble.retry_at for trouble in self.unreadable.values()), default=None)

    def _note(self, where: dict[TreePath, Trouble], path: TreePath, reason: str, version: bytes, now: int) -> None:
        before = where.get(path)
        wait = self.settings.retry_first
        if before is not None and before.version == version:
            wait = min(before.wait * 2, self.settings.retry_most)
        where[path] = Trouble(reason, version, wait, now + wait)


def _entries(count: int) -> str:
    return "1 entry" if count == 1 else f"{count} entries"
