"""The brake on mass deletion: whether what a scan found would take too much of a tree away at once. Pure."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import msgspec

from l2sync.modtree import ROOT, Entry, Kind, ModTree, Observation, TreePath, VersionVector, parent

LEAST = 20
"""So many entries may always go at once, whatever their share of the tree."""
WINDOW = 60_000_000_000
"""ns within which losses count as one."""
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
    _recent: deque[tuple[int, int]] = field(default_factory=deque)

    def judge(self, tree: ModTree, seen: Sequence[Observation], now: int) -> Loss | None:
        """What a scan would take away, if that is too much; else it is taken note of."""
        if self.percent >= 100 or not len(tree):
            return None
        lost = losses(tree, seen)
        count = len(lost.vanished) + len(lost.older)
        if not count:
            return None
        before = self._lately(now)
        if not self._exceeds(self.percent * 100, count + before, tree, before):
            self._recent.append((now, count))
            return None
        named = _topmost(lost.vanished + lost.older)
        return Loss(len(lost.vanished), len(lost.older), _alive(tree), tuple(named[:_NAMED]), len(named))

    def doubts(self, tree: ModTree, seen: Sequence[Observation], now: int) -> bool:
        """Whether this may be the beginning of too much: a large deletion takes its time, and is met half done."""
        gone = sum(one.deleted for one in seen)
        before = self._lately(now)
        share = self.percent * 100 // _DOUBTFUL
        return self.percent < 100 and gone > 0 and self._exceeds(share, gone + before, tree, before)

    def _exceeds(self, share: int, count: int, tree: ModTree, before: int) -> bool:
        return count >= LEAST and count * 10_000 > share * (_alive(tree) + before)

    def forget(self) -> None:
        """What was decided upon does not count any more."""
        self._recent.clear()

    def _lately(self, now: int) -> int:
        while self._recent and now - self._recent[0][0] > WINDOW:
            self._recent.popleft()
        return sum(count for _, count in self._recent)


@dataclass(frozen=True, slots=True)
class Losses:
    """Known paths at which a scan found nothing, or something older than what is known."""

    vanished: list[TreePath]
    older: list[TreePath]


def losses(tree: ModTree, seen: Iterable[Observation]) -> Losses:
    """What is lost by these observations. What only moved is not lost: the same thing stands elsewhere now."""
    gone, older, fresh = list[Entry](), list[TreePath](), list[Observation]()
    for one in seen:
        old = tree.get(one.path)
        if one.deleted:
            if old is not None and not old.deleted:
                gone.append(old)
        elif old is None:
            fresh.append(one)
        elif fell_back(one, old):
            older.append(one.path)
    return Losses(_not_moved(gone, fresh), older)


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
