"""The agent's status as the command shows it.

Every field has a default and unknown ones are skipped: the command may be older or newer than the agent.
"""

from __future__ import annotations

import os

import msgspec


def printable(text: str) -> str:
    """Without characters that would play tricks on a terminal: file names and other nodes' words may have any."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in os.fsencode(text).decode(errors="backslashreplace"))


def printable_lines(text: str) -> str:
    """The same for text of several lines."""
    return "\n".join(map(printable, text.split("\n")))


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
    watch: str = ""


class LockView(msgspec.Struct, frozen=True):
    holder: str = ""
    tree: str = ""
    paths: tuple[str, ...] = ()
    purpose: str = ""
    granted: bool = False


class SegmentView(msgspec.Struct, frozen=True):
    way: str = ""
    frame: int = 0
    suspects: tuple[str, ...] = ()


class StatusView(msgspec.Struct, frozen=True):
    node: NodeView = NodeView()
    peers: tuple[PeerView, ...] = ()
    trees: tuple[TreeView, ...] = ()
    in_sync: bool = False
    reasons: tuple[str, ...] = ()
    locks: tuple[LockView, ...] = ()
    counters: dict[str, int] = {}
    bans: tuple[BanView, ...] = ()
    segment: SegmentView = SegmentView()

    def shown(self) -> StatusView:
        """The same with all text as it may be shown on a terminal."""
        return msgspec.convert(_printable(msgspec.to_builtins(self)), StatusView)

    @property
    def verdict(self) -> str:
        """One line: in sync or not, and why not."""
        if self.in_sync:
            return "in sync"
        return "not in sync: " + ("; ".join(self.reasons) or "the agent gives no reason")


def _printable(thing: object) -> object:
    if isinstance(thing, str):
        return printable(thing)
    if isinstance(thing, dict):
        return {_printable(key): _printable(value) for key, value in thing.items()}
    return [_printable(each) for each in thing] if isinstance(thing, list | tuple) else thing
