"""The agent's status as the command shows it.

Every field has a default and unknown ones are skipped: the command may be older or newer than the agent.
"""

from __future__ import annotations

import msgspec


class KeyView(msgspec.Struct, frozen=True):
    id: int = 0
    check: str = ""


class BanView(msgspec.Struct, frozen=True):
    name: str = ""
    by: str = ""


class NodeView(msgspec.Struct, frozen=True):
    id: int | None = None
    name: str = ""
    session: str = ""
    version: str = ""
    keys: tuple[KeyView, ...] = ()


class PeerView(msgspec.Struct, frozen=True):
    id: int = 0
    name: str = ""
    state: str = ""
    rtt_ms: float | None = None
    last_seen_s: float | None = None
    in_sync: bool | None = None
    misbehaving: dict[str, int] = {}
    keys: tuple[KeyView, ...] = ()


class FailureView(msgspec.Struct, frozen=True):
    path: str = ""
    reason: str = ""
    doing: str = ""
    retry_s: int | None = None


class TreeView(msgspec.Struct, frozen=True):
    name: str = ""
    path: str = ""
    state: str = ""
    entries: int = 0
    bytes: int = 0
    root_digest: str = ""
    pending: int = 0
    paused_reason: str | None = None
    conflicts: int = 0
    failing: tuple[FailureView, ...] = ()
    failing_count: int = 0


class LockView(msgspec.Struct, frozen=True):
    holder: str = ""
    tree: str = ""
    paths: tuple[str, ...] = ()
    purpose: str = ""
    granted: bool = False


class StatusView(msgspec.Struct, frozen=True):
    node: NodeView = NodeView()
    peers: tuple[PeerView, ...] = ()
    trees: tuple[TreeView, ...] = ()
    in_sync: bool = False
    reasons: tuple[str, ...] = ()
    locks: tuple[LockView, ...] = ()
    counters: dict[str, int] = {}
    bans: tuple[BanView, ...] = ()

    @property
    def verdict(self) -> str:
        """One line: in sync or not, and why not."""
        if self.in_sync:
            return "in sync"
        return "not in sync: " + ("; ".join(self.reasons) or "the agent gives no reason")
