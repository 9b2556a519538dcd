"""What all nodes have at one path, and why it is so: the structures behind ``l2sync why --json``."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from l2sync.frames import Standing
from l2sync.modtree import Kind, Order, VersionVector

from .status import LockInfo


class VersionInfo(msgspec.Struct, frozen=True):
    """A version of a path; ``kind`` "tombstone": it was deleted. Times in ns since 1970, the mode a number.

    ``id`` names the version, ``seen`` all that it was made in knowledge of: replica, in hexadecimal, to counter.
    """

    kind: str
    size: int
    mtime_ns: int
    mode: int
    uid: int
    gid: int
    author: str
    id: str
    seen: dict[str, int]


class RemarkInfo(msgspec.Struct, frozen=True):
    """Something under way or in the way; ``about`` is a name of `l2sync.frames.Note` in lower case."""

    about: str
    text: str
    again_s: int | None = None


class TroubleInfo(msgspec.Struct, frozen=True):
    """A path in trouble below the one asked for."""

    path: str
    about: str
    text: str


class NodeAccount(msgspec.Struct, frozen=True):
    """What one node has.

    ``state``: same (the newest version that any node told), older, concurrent (neither older nor newer than
    another's), none (never heard of it), no tree, silent (no answer in time), unreachable.
    """

    name: str
    id: int | None
    here: bool
    state: str
    version: VersionInfo | None = None
    remarks: tuple[RemarkInfo, ...] = ()
    below: tuple[TroubleInfo, ...] = ()
    in_trouble: int = 0
    last_seen_s: float | None = None


class Explanation(msgspec.Struct, frozen=True):
    """All nodes' accounts of one path, this node's first, the others by name.

    ``locks``: claims on it, or on what is above or below.
    """

    tree: str
    path: str
    nodes: tuple[NodeAccount, ...]
    newest: VersionInfo | None
    locks: tuple[LockInfo, ...]
    same_everywhere: bool


def version_info(standing: Standing) -> VersionInfo:
    """A version as people and scripts read it."""
    kind = Kind(standing.kind).name.lower() if standing.kind in set(Kind) else f"kind {standing.kind}"
    return VersionInfo(
        kind,
        standing.size,
        standing.mtime_s * 1_000_000_000 + standing.mtime_ns,
        standing.mode,
        standing.uid,
        standing.gid,
        standing.author,
        f"{standing.replica:016x}-{standing.counter}",
        {f"{replica:016x}": counter for replica, counter in standing.version},
    )


def newest_of(standings: Iterable[Standing]) -> Standing | None:
    """A version that no other among them replaces."""
    newest: Standing | None = None
    for standing in standings:
        if newest is None or compare(newest, standing) == "older":
            newest = standing
    return newest


def compare(standing: Standing, newest: Standing) -> str:
    """How a node's version stands to the newest one."""
    order = VersionVector(standing.version).compare(VersionVector(newest.version))
    if order is Order.EQUAL:
        return "same" if standing.state == newest.state else "concurrent"
    return "older" if order is Order.BEFORE else "concurrent"
