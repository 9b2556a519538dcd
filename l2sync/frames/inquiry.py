"""The messages by which a node asks all others what they have at one path, and what they say."""

from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar

from construct import Int8ub, Int16ub, Int32sb, Int32ub, Int64sb, Int64ub

from .declare import Choice, Digest, Flag, Listed, Message, Octets, Perhaps, Record, Row, Text, declared
from .header import Kind

MOST_NOTES = 32
"""Notes in a report, at the most."""
MOST_BELOW = 50
"""Paths in trouble that a report names, at the most."""


@declared(
    Record(
        "number" / Int32ub * "of the query among the sender's in its session",
        "tree" / Int64ub * "which tree, a number made from its name",
        "path" / Octets * "which path in it; empty: its root",
    )
)
@dataclass(frozen=True, slots=True)
class Query(Message):
    """What have you at this path? Answered by each member with a report."""

    KIND: ClassVar = Kind.QUERY
    number: int
    tree: int
    path: bytes


@declared(
    Record(
        "kind" / Int8ub * "what stands there, as entries number kinds; 0: it was deleted",
        "mode" / Int16ub * "the twelve permission bits",
        "uid" / Int32ub * "owner",
        "gid" / Int32ub * "group",
        "size" / Int64ub * "bytes of a file",
        "mtime_s" / Int64sb * "time of modification, signed seconds since 1970",
        "mtime_ns" / Int32ub * "and nanoseconds",
        "state" / Digest * "names all that is to be seen of it, so that two nodes can be compared",
        "author" / Text * "name of the node that wrote this version",
        "replica" / Int64ub * "which replica wrote it",
        "counter" / Int64ub * "as its how-manieth write",
        "version"
        / Listed(Row("replica" / Int64ub * "a replica", "counter" / Int64ub * "how many of its writes it has seen"))
        * "the version vector",
    )
)
@dataclass(frozen=True, slots=True)
class Standing(Message):
    """The version of a path that a node knows, without its content."""

    kind: int
    mode: int
    uid: int
    gid: int
    size: int
    mtime_s: int
    mtime_ns: int
    state: bytes
    author: str
    replica: int
    counter: int
    version: tuple[tuple[int, int], ...]


class Note(IntEnum):
    """What a note of a report is about."""

    PENDING = 1
    RECEIVING = 2
    FAILING = 3
    UNREADABLE = 4
    IGNORED = 5
    PAUSED = 6
    SCANNING = 7
    CHANGED = 8
    UNSUPPORTED = 9


@declared(
    Record(
        "about" / Choice(Note) * "what about",
        "text" / Text * "more of it, for people",
        "again_s" / Int32sb * "seconds until it is tried again, -1: it does not depend on time",
    )
)
@dataclass(frozen=True, slots=True)
class Remark(Message):
    """Something that holds a path up, or is under way for it."""

    about: Note
    text: str
    again_s: int = -1


@declared(
    Record(
        "path" / Octets * "which path",
        "about" / Choice(Note) * "what about",
        "text" / Text * "why, for people",
    )
)
@dataclass(frozen=True, slots=True)
class Below(Message):
    """A path in trouble below the one asked for."""

    path: bytes
    about: Note
    text: str


@declared(
    Record(
        "number" / Int32ub * "of the query that this answers",
        "known" / Flag * "whether the sender keeps this tree at all",
        "standing" / Perhaps(Standing.FORMAT) * "the version that the sender knows, if it ever heard of the path",
        "remarks" / Listed(Remark.FORMAT) * f"what is to be said of the path, {MOST_NOTES} at the most",
        "below" / Listed(Below.FORMAT) * f"paths in trouble below it, {MOST_BELOW} at the most",
        "in_trouble" / Int32ub * "how many there are of those",
    )
)
@dataclass(frozen=True, slots=True)
class Report(Message):
    """What the sender has at the path that was asked for; to the asker alone."""

    KIND: ClassVar = Kind.REPORT
    number: int
    known: bool
    standing: Standing | None = None
    remarks: tuple[Remark, ...] = ()
    below: tuple[Below, ...] = ()
    in_trouble: int = 0
