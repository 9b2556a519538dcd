"""What a node says of itself: the structures behind ``l2sync status --json``."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from l2sync.frames import KnownKey


class KeyInfo(msgspec.Struct, frozen=True):
    """A key of the cluster that a node knows; the first of a list is the one that it seals with."""

    id: int
    check: str


def key_infos(keys: Iterable[KnownKey]) -> tuple[KeyInfo, ...]:
    """Keys as status tells them."""
    return tuple(KeyInfo(key.key_id, key.check.hex()) for key in keys)


class BanInfo(msgspec.Struct, frozen=True):
    """A node that is banned, and the node on which that was said."""

    name: str
    by: str


class NodeInfo(msgspec.Struct, frozen=True):
    """This node; the session as 16 hexadecimal digits."""

    id: int | None
    name: str
    session: str
    version: str
    keys: tuple[KeyInfo, ...] = ()


class PeerInfo(msgspec.Struct, frozen=True):
    """Another node; round trip in milliseconds, last_seen_s in seconds before now.

    ``misbehaving``: how often it did what no member does, by reason. ``keys``: as it told last.
    """

    id: int
    name: str
    state: str
    rtt_ms: float | None
    last_seen_s: float | None
    mtu: int | None = None
    in_sync: bool | None = None
    misbehaving: dict[str, int] = {}
    keys: tuple[KeyInfo, ...] = ()


class FailureInfo(msgspec.Struct, frozen=True):
    """A path in trouble, and why; ``doing``: apply (another node's version cannot be put here) or read.

    ``retry_s``: seconds until it is tried again at the earliest.
    """

    path: str
    reason: str
    doing: str
    retry_s: int


class TreeInfo(msgspec.Struct, frozen=True):
    """A tree; ``pending``: entries still to be told to others or to be put in place here.

    ``failing``: the first hundred paths in trouble here, of ``failing_count``.
    """

    name: str
    path: str
    state: str
    entries: int
    bytes: int
    root_digest: str
    pending: int
    paused_reason: str | None
    conflicts: int
    failing: tuple[FailureInfo, ...] = ()
    failing_count: int = 0
    watch: str = ""
    """How changes are heard of: "fanotify", "inotify", "inotify and scans", "scans"; only the agent knows."""


class LockInfo(msgspec.Struct, frozen=True):
    """A claim on paths: held, or waiting for earlier ones."""

    holder: str
    number: int
    tree: str
    paths: tuple[str, ...]
    purpose: str
    granted: bool


class SegmentInfo(msgspec.Struct, frozen=True):
    """How this node's frames for all reach all: ``way``; the largest ``frame`` in use, in bytes behind Ethernet's
    header; and what is suspected of the segment, in words."""

    way: str = "broadcast"
    frame: int = 0
    suspects: tuple[str, ...] = ()


class Status(msgspec.Struct, frozen=True):
    """All of it; ``reasons`` says in words why the node is not in sync."""

    node: NodeInfo
    peers: tuple[PeerInfo, ...]
    trees: tuple[TreeInfo, ...]
    in_sync: bool
    reasons: tuple[str, ...]
    locks: tuple[LockInfo, ...]
    counters: dict[str, int]
    bans: tuple[BanInfo, ...] = ()
    segment: SegmentInfo = SegmentInfo()
