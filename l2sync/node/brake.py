"""The brake on mass deletion: whether what a scan found would take too much of a tree away at once. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

import msgspec

from l2sync.modtree import ROOT, Entry, Kind, ModTree, Observation, TreePath, VersionVector, parent

from .lately import Lately

LEAST = 20
"""So many entries may always go at once, whatever their share of the tree."""
_NAMED = 5
_DOUBTFUL = 5
"""Of the share that may go at once, one so-manieth is let in only after a second look."""


@dataclass(frozen=True, slots=True)
class Loss:
    """What would go: entries that vanished or fell back to older versions, of how many, and the topmost by name."""

    gone: int
    older: int
    of: int
    named: tuple[tuple[TreePath, int], ...]
    """A path and how many entries go with it, the largest first; not all of them."""
    tops: int

    @property
    def which(self) -> str:
        """The paths, for people."""
        told = [_text(path) + (f" ({count:,} entries)" if count > 1 else "") for path, count in self.named]
        more = self.tops - len(told)
        return ", ".join(told) + (f" and {more:,} more" if more > 0 else "")

    def __str__(self) -> str:
        if not self.older:
            return f"{self.gone:,} of {self.of:,} entries have vanished: {self.which}"
        return f"{self.gone:,} of {self.of:,} entries have vanished and {self.older:,} fell back: {self.which}"


@dataclass(slots=True)
class Brake:
    """Judges what one tree's scans find. ``percent``: the share that may go at once; 100: all of it."""

    percent: int
    _lately: Lately = field(default_factory=Lately)

    def born(self, paths: Iterable[TreePath], now: int) -> None:
        """These came to the tree: they are none of what was there when the window began."""
        if self.percent < 100:
            self._lately.expire(now)
            self._lately.came(paths, now)

    def judge(self, tree: ModTree, seen: Sequence[Observation], now: int) -> Loss | None:
        """What a scan would take away, if that is too much; else it is taken note of."""
        if self.percent >= 100 or not len(tree):
            return None
        lost = losses(tree, seen)
        self._lately.expire(now)
        if self._exceeds(self.percent * 100, lost.paths, tree):
            named = _topmost(lost.paths)
            of = max(_alive(tree), len(lost.paths))
            return Loss(len(lost.vanished), len(lost.older), of, tuple(named[:_NAMED]), len(named))
        self._lately.went(filter(self._lately.counts, lost.paths), now)
        self._lately.ended(lost.vanished)
        return None

    def doubts(self, tree: ModTree, seen: Sequence[Observation], now: int) -> bool:
        """Whether this may be the beginning of too much: a large deletion takes its time, and is met half done."""
        gone = {one.path for one in seen if one.deleted} if self.percent < 100 else set[TreePath]()
        self._lately.expire(now)
        return bool(gone) and self._exceeds(self.percent * 100 // _DOUBTFUL, gone, tree)

    def _exceeds(self, share: int, gone: Collection[TreePath], tree: ModTree) -> bool:
        """Whether too much goes at once, or has gone of what was there when the window began."""
        lately, alive = self._lately, _alive(tree)
        in_all = lately.lost + sum(map(lately.counts, gone))
        before = max(0, alive - lately.born) + lately.lost
        return any(
            count >= LEAST and count * 10_000 > share * of for count, of in ((len(gone), alive), (in_all, before))
        )

    def forget(self) -> None:
        """What was decided upon does not count any more."""
        self._lately.forget()


@dataclass(frozen=True, slots=True)
class Losses:
    """Known paths at which a scan found nothing, or something older than what is known."""

    vanished: list[TreePath]
    older: list[TreePath]

    @property
    def paths(self) -> list[TreePath]:
        """All of them."""
        return self.vanished + self.older


def losses(tree: ModTree, seen: Iterable[Observation]) -> Losses:
    """What is lost by these observations. What only moved is not lost: the same thing stands elsewhere now."""
    gone, older, fresh = dict[TreePath, Entry](), list[TreePath](), list[Observation]()
    for one in seen:
        old = tree.get(one.path)
        if one.deleted:
            if old is not None and not old.deleted:
                gone[one.path] = old
        elif old is None:
            fresh.append(one)
        elif fell_back(one, old):
            older.append(one.path)
    return Losses(_not_moved(list(gone.values()), fresh), older)


def _not_moved(gone: list[Entry], fresh: list[Observation]) -> list[TreePath]:
    """What of the vanished does not stand anywhere else now."""
    if not fresh:
        return [old.path for old in gone]
    faces = [_face(old) for old in gone]
    wanted, arrived = set(faces), Counter[tuple[object, ...]]()
    for one in fresh if wanted else ():
        face = _face(one)
        if face in wanted:
            arrived[face] += 1
    vanished = []
    for old, face in zip(gone, faces, strict=True):
        if arrived[face]:
            arrived[face] -= 1
        else:
            vanished.append(old.path)
    return vanished


def fell_back(seen: Observation, old: Entry) -> bool:
    """Whether what stands there is what stood there before the version that is known."""
    if old.deleted:
        return not seen.deleted and seen.mtime_ns == old.mtime_ns and (seen.mode, seen.uid) == (old.mode, old.uid)
    both_files = seen.kind is old.kind is Kind.FILE
    return both_files and seen.mtime_ns < old.mtime_ns and not old.same_content(seen)


def undone(seen: Observation, old: Entry | None) -> bool:
    """Whether a restore undoes this observation; what was edited or made since stays."""
    if old is None or old.path == ROOT:
        return False
    if seen.deleted:
        return not old.deleted
    if seen.kind is old.kind is Kind.DIR:
        return (seen.mode, seen.uid, seen.gid, seen.xattrs) == (old.mode, old.uid, old.gid, old.xattrs)
    return fell_back(seen, old)


def unversioned(seen: Observation, old: Entry) -> Entry:
    """What stands there as nobody's write: every version that anybody has replaces it."""
    fields = {name: getattr(seen, name) for name in Observation.__struct_fields__}
    made = Entry(**fields, version=VersionVector(), author=old.author)
    return msgspec.structs.replace(made, xattrs=()) if seen.deleted else made


def _alive(tree: ModTree) -> int:
    return tree.alive - (tree.get(ROOT) is not None)


def _face(one: Observation) -> tuple[object, ...]:
    """What a thing looks like wherever it is moved to."""
    size = one.size if one.kind is Kind.FILE else 0
    return one.kind, one.mode, one.uid, one.gid, one.mtime_ns, size, one.target, one.rdev, one.chunks


def _topmost(lost: list[TreePath]) -> list[tuple[TreePath, int]]:
    """The lost paths whose directories are not lost, each with how many go with it; the largest first."""
    known = set(lost)
    counts: Counter[TreePath] = Counter()
    for path in lost:
        top = path
        while top != ROOT and (above := parent(top)) in known:
            top = above
        counts[top] += 1
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def _text(path: TreePath) -> str:
    return path.decode("utf-8", "backslashreplace")
