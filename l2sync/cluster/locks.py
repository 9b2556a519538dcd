"""The lock table: claims to sets of paths in one total order (Lamport 1978), so that no two wait for each other."""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import dataclass, field


def _within(path: bytes, claimed: Container[bytes]) -> bool:
    """Whether a path or a directory over it (``b""``: the root) is claimed; in as many steps as it has parts."""
    while path not in claimed:
        if not path:
            return False
        path = path.rpartition(b"/")[0]
    return True


@dataclass(slots=True)
class Claim:
    """One node's claim to some paths of one tree, all or nothing. ``stamp`` orders all: logical time, then session.

    A claim of another that is told with logical time 0 is held already: it stands before every claim that is not.
    For a claim of our own, ``waiting`` are the sessions that have yet to answer it, ``last`` is the place in our stream
    up to which they must have everything for that, and ``until`` says up to where the streams of those that
    answered must be known before their answer counts.
    """

    session: int
    number: int
    node: int
    lamport: int
    tree: int
    purpose: int
    paths: tuple[bytes, ...]
    waiting: set[int] = field(default_factory=set)
    until: dict[int, int] = field(default_factory=dict)
    stuck: dict[int, tuple[int, int]] = field(default_factory=dict)
    """Where the streams in ``until`` stand that do not come as far, and since when (ns)."""
    touched_at: int = 0
    """When somebody else's claim last stood behind another, or its batch got on (ns)."""
    heard_at: int = 0
    """When it last stood behind another, or was heard of first (ns)."""
    last: int = 0
    granted: bool = False

    @property
    def key(self) -> tuple[int, int]:
        return self.session, self.number

    @property
    def stamp(self) -> tuple[int, int, int]:
        return self.lamport, self.session, self.number

    def overlaps(self, other: Claim) -> bool:
        """Whether both want some path."""
        if self.tree != other.tree:
            return False
        ours, theirs = set(self.paths), set(other.paths)
        return any(_within(path, theirs) for path in ours) or any(_within(path, ours) for path in theirs)


class LockTable:
    """Every claim that is known, by (session, number)."""

    MOST_PER_SESSION = 256
    MOST_PATHS = 8192
    MOST_BYTES = 1 << 20
    """Paths and their bytes in all claims of one session."""

    def __init__(self) -> None:
        self._claims: dict[tuple[int, int], Claim] = {}

    def __iter__(self) -> Iterator[Claim]:
        return iter(self._claims.values())

    def __len__(self) -> int:
        return len(self._claims)

    def get(self, session: int, number: int) -> Claim | None:
        """One claim."""
        return self._claims.get((session, number))

    def add(self, claim: Claim) -> bool:
        """Enter a claim; False where it is known, or its session has too many."""
        if claim.key in self._claims:
            return False
        if self._load(claim.session, claim.paths) > 1:
            return False
        self._claims[claim.key] = claim
        return True

    def spare(self, session: int, paths: tuple[bytes, ...]) -> bool:
        """Whether a user's claim to these paths leaves a session half of its bounds, for batches."""
        return self._load(session, paths) <= 0.5

    def _load(self, session: int, paths: tuple[bytes, ...]) -> float:
        """How much of its bounds a session uses with a claim to these paths."""
        held = [paths, *(c.paths for c in self._claims.values() if c.session == session)]
        size = sum(len(path) for some in held for path in some)
        number = sum(map(len, held))
        return max(len(held) / self.MOST_PER_SESSION, number / self.MOST_PATHS, size / self.MOST_BYTES)

    def release(self, session: int, number: int) -> list[Claim]:
        """End a claim; number 0 ends all of a session's."""
        if number:
            gone = self._claims.pop((session, number), None)
            return [gone] if gone is not None else []
        found = [claim for claim in self._claims.values() if claim.session == session]
        for claim in found:
            del self._claims[claim.key]
        return found

    def earlier(self, claim: Claim) -> Claim | None:
        """The first claim that stands before this one on some path."""
        before = [c for c in self._claims.values() if c.stamp < claim.stamp and c.overlaps(claim)]
        return min(before, key=lambda c: c.stamp) if before else None
