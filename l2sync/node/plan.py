"""What the disk has to be told so that a batch and our own tree become one: a pure function of both."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from l2sync.modtree import ROOT, Entry, Kind, ModTree, Order, Target, TreePath, child_path, copy_of, merge, parent


def is_news(mine: Entry | None, theirs: Entry) -> bool:
    """Whether their entry says anything that ours does not already cover."""
    if mine is None:
        return True
    order = mine.version.compare(theirs.version)
    if order is Order.AFTER:
        return False
    # Merged in another order, one version can be told as another one's write: the winner rule settles whose it is.
    return not (order is Order.EQUAL and mine == theirs)


@dataclass(slots=True)
class Plan:
    """Targets by path, laid over a tree that stays as it is until the disk has done its part."""

    tree: ModTree
    replica: int
    next_dot: Callable[[], int]
    author: str
    targets: dict[TreePath, Entry] = field(default_factory=dict)
    below: dict[TreePath, set[TreePath]] = field(default_factory=dict)
    own: set[TreePath] = field(default_factory=set)
    """Paths whose target is a version of our own making: to be offered to the others."""
    spares: dict[TreePath, set[TreePath]] = field(default_factory=dict)
    """The conflict copies that a path's target leaves of what it replaces, or of what it is told of and beats."""

    _standing: dict[TreePath, Entry | None] = field(default_factory=dict)

    def view(self, path: TreePath) -> Entry | None:
        return self.targets.get(path) or self.standing(path)

    def standing(self, path: TreePath) -> Entry | None:
        """What the tree has at a path; found once."""
        if path not in self._standing:
            self._standing[path] = self.tree.get(path)
        return self._standing[path]

    def take(self, theirs: Entry) -> None:
        """Merge one foreign entry; copies of what loses get targets too."""
        mine = self.view(theirs.path)
        if not is_news(mine, theirs):
            return
        result = merge(mine, theirs)
        self._aim(result.winner)
        for copy in result.copies:
            self._spare(theirs.path, copy)

    def _spare(self, path: TreePath, copy: Entry) -> None:
        self.spares.setdefault(path, set()).add(copy.path)
        self.take(copy)

    def heal(self) -> None:
        """See to it that what lives has a living directory above it (an edit beats a deletion)."""
        living = set[TreePath]()
        for path in sorted(self.targets, key=len, reverse=True):
            entry = self.targets[path]
            if entry.kind is not Kind.DIR and path in self.targets and self._has_living_children(path):
                self._revive(path)
            if not entry.deleted:
                above = path
                while above != ROOT:
                    above = parent(above)
                    if above in living:
                        break
                    standing = self.view(above)
                    if standing is not None and standing.kind is Kind.DIR:
                        living.add(above)  # and stays so: healing only makes directories
                        break
                    if standing is not None:
                        self._revive(above)

    def _has_living_children(self, path: TreePath) -> bool:
        if any(not self.targets[child].deleted for child in self.below.get(path, ())):
            return True
        return any(self._lives(path, name) for name in self.tree.children(path))

    def _lives(self, path: TreePath, name: bytes) -> bool:
        child = self.view(child_path(path, name))
        return child is not None and not child.deleted

    def _revive(self, path: TreePath) -> None:
        lost = self.view(path)
        assert lost is not None
        before = self.standing(path)
        look = before if before is not None and before.kind is Kind.DIR else lost
        dot = (self.replica, self.next_dot())
        if lost.kind not in (Kind.TOMBSTONE, Kind.DIR):
            self._spare(path, copy_of(lost))
        self._aim(
            Entry(
                path=path,
                kind=Kind.DIR,
                mode=look.mode if look.mode & 0o100 else 0o755,
                uid=look.uid,
                gid=look.gid,
                mtime_ns=look.mtime_ns,
                xattrs=look.xattrs if look.kind in (Kind.DIR, Kind.TOMBSTONE) else (),
                version=lost.version.advance(*dot),
                author=self.author,
                dot=dot,
            )
        )
        self.own.add(path)

    def _aim(self, entry: Entry) -> None:
        self.targets[entry.path] = entry
        if entry.path != ROOT:
            self.below.setdefault(parent(entry.path), set()).add(entry.path)

    def as_targets(self) -> list[Target]:
        """The plan for the disk, parents first; what is already so is left out."""
        return [
            Target(entry=self.targets[path], expected=known)
            for path in sorted(self.targets)
            if (known := self.standing(path)) != self.targets[path]
        ]


def make_plan(tree: ModTree, entries: Iterable[Entry], replica: int, next_dot: Callable[[], int], author: str) -> Plan:
    """Lay a batch over our tree."""
    plan = Plan(tree, replica, next_dot, author)
    for entry in entries:
        plan.take(entry)
    plan.heal()
    return plan
