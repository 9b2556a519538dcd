"""The merger: what two versions of a path become. Pure; the one place where a winner is chosen."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import msgspec
from blake3 import blake3

from .entry import Entry, Kind
from .paths import MAX_NAME, TreePath, child_path, name, parent
from .version import Order, VersionVector

_RANK = {Kind.DIR: 4, Kind.FILE: 3, Kind.LINK: 2, Kind.TOMBSTONE: 0}
_SPECIAL = 1
_MARK = ".conflict-"
_MARK_BYTES = _MARK.encode()
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Resolution(NamedTuple):
    """What stands at the path after a merge, and the conflict copies of what lost."""

    winner: Entry
    copies: tuple[Entry, ...]


class Target(msgspec.Struct, frozen=True):
    """What must come to stand at ``entry.path``, and what the index says is there now (None: nothing)."""

    entry: Entry
    expected: Entry | None


def precedence(entry: Entry) -> tuple[object, ...]:
    """The one winner rule: the greatest of concurrent versions wins.

    A directory beats a file, a file a link, anything a deletion; then the newer modification, then the dot, and,
    for versions that claim one dot for two contents, the look itself. Nothing here depends on the version vector,
    so a winner whose vector has grown by a merge wins the same comparisons as before.
    """
    return (
        _RANK.get(entry.kind, _SPECIAL),
        entry.mtime_ns,
        entry.dot,
        entry.content,
        entry.mode,
        entry.uid,
        entry.gid,
        entry.xattrs,
        entry.link_group,
    )


def join(a: frozenset[Entry], b: frozenset[Entry]) -> frozenset[Entry]:
    """The versions of a path that no other of both sets replaces: a join (associative, commutative, idempotent)."""
    both = a | b
    return frozenset(one for one in both if not any(_replaced(one, other) for other in both))


def _replaced(one: Entry, other: Entry) -> bool:
    return one.version.compare(other.version) is Order.BEFORE


def resolve(siblings: Iterable[Entry]) -> Resolution:
    """Choose among versions of one path; the same set gives the same result in any order.

    Whoever wrote a version that has seen another's dot wrote it in that one's place (dotted version vectors, Preguica
    et al. 2012): that other neither wins nor leaves a copy, though its vector may have grown by a merge meanwhile.
    Raises ValueError for an empty set.
    """
    versions = sorted(join(frozenset(siblings), frozenset()), key=precedence, reverse=True)
    if not versions:
        raise ValueError("nothing to choose from")
    fresh = [one for one in versions if not any(_seen(one, other) for other in versions)]
    winner = fresh[0] if fresh else _of_replaced(versions)
    copies: dict[TreePath, Entry] = {}
    vector = winner.version
    for loser in versions:
        vector = vector.join(loser.version)
        if loser.deleted and not winner.deleted:
            vector = vector.join(VersionVector((_grave(loser.dot),)))
        if loser is not winner and _worth_keeping(loser, winner) and not any(_seen(loser, v) for v in versions):
            copy = copy_of(loser)
            copies.setdefault(copy.path, copy)
    return Resolution(msgspec.structs.replace(winner, version=vector), tuple(copies[path] for path in sorted(copies)))


def _seen(one: Entry, other: Entry) -> bool:
    replica, counter = one.dot
    return one.dot != other.dot and 0 < counter <= other.version.counter(replica)


def _of_replaced(versions: list[Entry]) -> Entry:
    """The winner where each was replaced by what then lost elsewhere to another of them.

    One that was deleted must not come back: one whose replacer beat a deletion that it has not heard of. Where that is
    so of all, the path is deleted.
    """
    standing = [one for one in versions if not any(_seen(one, v) and _buried_more(v, one) for v in versions)]
    if standing:
        return standing[0]
    newest, vector = versions[0], versions[0].version
    for one in versions:
        vector = vector.join(one.version)
    told = b"".join(b"%x:%d " % dot for dot in vector.dots)
    dot = (int.from_bytes(blake3(b"deletion of what had lost " + told + newest.path).digest(length=8), "big"), 1)
    return Entry(
        path=newest.path,
        kind=Kind.TOMBSTONE,
        mode=newest.mode,
        uid=newest.uid,
        gid=newest.gid,
        mtime_ns=newest.mtime_ns,
        version=vector.advance(*dot),
        author=newest.author,
        dot=dot,
    )


def _grave(dot: tuple[int, int]) -> tuple[int, int]:
    """What the vector of a version keeps of a deletion that it beat, besides its dot: that it was a deletion."""
    return int.from_bytes(blake3(b"grave %d" % dot[0]).digest(length=8), "big"), dot[1]


def _buried_more(one: Entry, other: Entry) -> bool:
    """Whether a version has beaten a deletion that the other has not heard of."""
    graves = (_grave(dot)[0] for dot in one.version.dots)
    return any(one.version.counter(grave) > other.version.counter(grave) for grave in graves)


def merge(mine: Entry | None, theirs: Entry) -> Resolution:
    """What a path becomes when a foreign version meets ours."""
    if mine is None:
        return Resolution(theirs, ())
    return resolve((mine, theirs))


def _worth_keeping(loser: Entry, winner: Entry) -> bool:
    return loser.kind not in (Kind.TOMBSTONE, Kind.DIR) and not loser.same_content(winner)


def copy_of(loser: Entry) -> Entry:
    """The conflict copy of a version that loses its path.

    It is versioned as the only write of a replica of its own, named by the version: two copies that come to bear one
    name (same author, same second) must be concurrent, for neither replaces the other.
    """
    replica, counter = loser.dot
    told = blake3(b"conflict copy %d %d " % (replica, counter) + loser.path).digest(length=8)
    dot = (int.from_bytes(told, "big"), 1)
    return msgspec.structs.replace(
        loser, path=conflict_path(loser), version=VersionVector((dot,)), dot=dot, link_group=b""
    )


def conflict_path(entry: Entry) -> TreePath:
    """``NAME.conflict-NODE-YYYYMMDD-HHMMSS.EXT`` beside the path: who wrote the version, and when (UTC).

    Made from the version alone, so every node arrives at the same name.
    """
    stem, dot, extension = name(entry.path).rpartition(b".")
    if not stem or not extension:
        stem, dot, extension = name(entry.path), b"", b""
    node = "".join(c if c.isalnum() or c in "_." else "_" for c in entry.author) or "unknown"
    mark = f"{_MARK}{node}-{_stamp(entry.mtime_ns)}".encode()
    tail = dot + extension
    if len(tail) > 64:
        stem, tail = stem + tail, b""
    room = MAX_NAME - len(mark) - len(tail)
    renamed = stem[: max(room, 0)] + mark[-MAX_NAME + len(tail) :] + tail
    return child_path(parent(entry.path), renamed)


def is_conflict_copy(path: TreePath) -> bool:
    """Whether the name is one that `conflict_path` makes."""
    return _MARK_BYTES in bytes(path) and _MARK_BYTES in name(path)


def _stamp(mtime_ns: int) -> str:
    try:
        when = _EPOCH + timedelta(seconds=mtime_ns // 1_000_000_000)
    except OverflowError:
        return "00000000-000000"
    return f"{when.year:04d}{when.month:02d}{when.day:02d}-{when.hour:02d}{when.minute:02d}{when.second:02d}"
