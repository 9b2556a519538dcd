"""What a node says of itself: the structures behind ``l2sync status --json``."""

from __future__ import annotations

import msgspec


class NodeInfo(msgspec.Struct, frozen=True):
    """This node; the session as 16 hexadecimal digits."""

    id: int | None
    name: str
    session: str
    version: str


class PeerInfo(msgspec.Struct, frozen=True):
    """Another node; round trip in milliseconds, last_seen_s in seconds before now."""

    id: int
    name: str
    state: str
    rtt_ms: float | None
    last_seen_s: float | None
    mtu: int | None = None
    in_sync: bool | None = None


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


class LockInfo(msgspec.Struct, frozen=True):
    """A claim on paths: held, or waiting for earlier ones."""

    holder: str
    number: int
    tree: str
    paths: tuple[str, ...]
    purpose: str
    granted: bool


class Status(msgspec.Struct, frozen=True):
    """All of it; ``reasons`` says in words why the node is not in sync."""

    node: NodeInfo
    peers: tuple[PeerInfo, ...]
    trees: tuple[TreeInfo, ...]
    in_sync: bool
    reasons: tuple[str, ...]
    locks: tuple[LockInfo, ...]
    counters: dict[str, int]
