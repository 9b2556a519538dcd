"""What users did and what nodes made of it, kept apart from the code under test."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from l2sync.modtree import Entry, Order, TreePath, covers
from l2sync.node.api import Persist


@dataclass
class Content:
    """Bytes that a user wrote, unique in a run. ``dead``: a user who had it in view overwrote or removed it."""

    path: TreePath
    host: int
    born: int
    dead: bool = False
    moved: bool = False
    """It was renamed or its mode changed: it may rightly stand elsewhere, or as a version of its own."""


@dataclass
class History:
    """``contents`` by their bytes; ``removed``: paths that a user ever took away; ``versions`` by path."""

    contents: dict[bytes, Content] = field(default_factory=dict)
    made: set[TreePath] = field(default_factory=set)
    removed: set[TreePath] = field(default_factory=set)
    versions: dict[TreePath, list[Entry]] = field(default_factory=lambda: defaultdict(list))
    lines: list[str] = field(default_factory=list)
    lost_state: bool = False

    # --- what users do ----------------------------------------------------------------------------

    def wrote(self, path: TreePath, data: bytes, host: int, now: int) -> None:
        """New bytes stand at a path."""
        self.contents[data] = Content(path, host, now)
        self.made.add(path)

    def killed(self, data: bytes) -> None:
        """A user has replaced or removed these bytes, knowing them."""
        if data in self.contents:
            self.contents[data].dead = True

    def moved(self, data: bytes) -> None:
        """These bytes have another name or mode now."""
        if data in self.contents:
            self.contents[data].moved = True

    def took_away(self, path: TreePath) -> None:
        """A user has removed a path, and all below it."""
        self.removed.add(path)

    def ever_removed(self, path: TreePath) -> bool:
        """Whether a user ever removed the path or something above it."""
        return any(covers(gone, path) for gone in self.removed)

    # --- what nodes do ----------------------------------------------------------------------------

    def persisted(self, effect: object) -> None:
        """A node has written versions of its own to its index."""
        if isinstance(effect, Persist):
            for entry in effect.entries:
                self.versions[entry.path].append(entry)

    def applied(self, entry: Entry) -> None:
        """A node has written a version to its index after making it true on its disk."""
        self.versions[entry.path].append(entry)

    def greatest(self, path: TreePath) -> list[Entry]:
        """The recorded versions of a path that no other of them replaces."""
        found: list[Entry] = []
        for entry in self.versions[path]:
            if any(entry.version.compare(other.version) in (Order.BEFORE, Order.EQUAL) for other in found):
                continue
            found = [o for o in found if o.version.compare(entry.version) is not Order.BEFORE]
            found.append(entry)
        return found
