"""The status as tables for people."""

from __future__ import annotations

import re
from collections.abc import Iterable

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from .view import KeyView, LockView, NodeView, PeerView, SegmentView, StatusView, TreeView

_TRAFFIC = re.compile(r"(frames|bytes)_(in|out)_(\w+)")
_DOING = {"apply": "cannot be brought up to date", "read": "cannot be read"}
_STATE_STYLES = {"online": "green", "in sync": "green", "offline": "red", "paused": "red", "held": "red"}


def render_status(status: StatusView) -> RenderableType:
    """All of it: the verdict first, then what it rests on."""
    parts: list[RenderableType] = [_verdict(status), Text(), _node(status.node)]
    parts += [*_segment(status.segment), Text()]
    parts.append(_peers(status.peers) if status.peers else Text("No other node was seen on the segment.", "yellow"))
    parts += _members(status)
    parts += [Text(), _trees(status.trees)]
    parts += [_watched(status.trees)] if status.trees else []
    parts += [_failing(tree) for tree in status.trees if tree.failing]
    if status.locks:
        parts += [Text(), _locks(status.locks)]
    parts += [Text(), _traffic(status.counters)]
    if other := _other_counters(status.counters):
        parts.append(other)
    return Group(*parts)


def _verdict(status: StatusView) -> Text:
    if status.in_sync:
        return Text("IN SYNC", "bold green")
    text = Text("NOT IN SYNC", "bold yellow")
    for reason in status.reasons:
        text.append(f"\n  {reason}", "not bold")
    return text


def _node(node: NodeView) -> Text:
    number = "no id yet" if node.id is None else f"id {node.id}"
    return Text.assemble(("node ", "dim"), (node.name, "bold"), f" ({number}), session {node.session}, {node.version}")


def _segment(segment: SegmentView) -> list[Text]:
    if not segment.way:
        return []
    lines = [Text.assemble(("segment ", "dim"), f"{segment.way}, frames of up to {segment.frame:,} bytes")]
    return lines + [Text(suspicion, "yellow") for suspicion in segment.suspects]


def _peers(peers: Iterable[PeerView]) -> Table:
    table = _table("peers", "id", "name", "state", "round trip", "last seen")
    for peer in peers:
        rtt = "" if peer.rtt_ms is None else f"{peer.rtt_ms:.2f} ms"
        seen = "" if peer.last_seen_s is None else f"{peer.last_seen_s:.1f} s ago"
        table.add_row(str(peer.id), Text(peer.name), _state(peer.state), rtt, seen)
    return table


def _members(status: StatusView) -> list[Text]:
    """What is wrong about somebody's being a member, and how far a change of keys has come; often nothing."""
    lines = []
    for peer in status.peers:
        if peer.misbehaving:
            what = ", ".join(f"{reason} ({count:,})" for reason, count in sorted(peer.misbehaving.items()))
            lines.append(Text(f"{peer.name} does what no member does: {what}; see l2sync ban", "red"))
    lines += [Text(f"{ban.name} is banned (said on {ban.by})", "yellow") for ban in status.bans]
    known = [(status.node.name, status.node.keys), *((p.name, p.keys) for p in status.peers if p.state == "online")]
    if any(len(keys) > 1 for _, keys in known) or len({keys for _, keys in known if keys}) > 1:
        told = "; ".join(f"{name} {_keys(keys)}" for name, keys in known)
        lines.append(Text(f"keys, the one in use first: {told}", "yellow"))
    return lines


def _keys(keys: Iterable[KeyView]) -> str:
    return ", ".join(f"{key.id} [{key.check}]" for key in keys) or "not told yet"


def _trees(trees: Iterable[TreeView]) -> Table:
    table = _table("trees", "name", "path", "state", "entries", "size", "pending", "conflicts", "digest")
    for tree in trees:
        state = _state(tree.state)
        if tree.paused_reason:
            state.append(f": {tree.paused_reason}")
        conflicts = Text(str(tree.conflicts), "yellow" if tree.conflicts else "")
        digest = tree.root_digest[:12]
        row = (f"{tree.entries:,}", amount(tree.bytes), f"{tree.pending:,}")
        table.add_row(Text(tree.name), Text(tree.path), state, *row, conflicts, digest)
    return table


def _watched(trees: Iterable[TreeView]) -> Text:
    ways: dict[str, list[str]] = {}
    for tree in trees:
        ways.setdefault(tree.watch or "unknown means", []).append(tree.name)
    told = (f"{way} ({', '.join(names)})" for way, names in sorted(ways.items()))
    return Text(f"changes are heard of by {', '.join(told)}", "dim")


def _failing(tree: TreeView) -> Table:
    more = tree.failing_count - len(tree.failing)
    title = f"{tree.name}: in trouble here" + (f" (and {more:,} more)" if more > 0 else "")
    table = _table(title, "path", "what", "why", "tried again")
    for failure in tree.failing:
        again = "" if failure.retry_s is None else "soon" if not failure.retry_s else f"in {failure.retry_s} s"
        table.add_row(Text(failure.path), _DOING.get(failure.doing, failure.doing), Text(failure.reason), again)
    return table


def _locks(locks: Iterable[LockView]) -> Table:
    table = _table("locks", "holder", "tree", "paths", "for", "state")
    for lock in locks:
        shown = ", ".join(lock.paths[:3]) + (f" and {len(lock.paths) - 3} more" if len(lock.paths) > 3 else "")
        table.add_row(
            Text(lock.holder), Text(lock.tree), Text(shown), lock.purpose, "held" if lock.granted else "waiting"
        )
    return table


def _traffic(counters: dict[str, int]) -> Table:
    table = _table("traffic", "kind", "frames in", "size in", "frames out", "size out")
    kinds: dict[str, dict[str, int]] = {}
    for name, value in counters.items():
        if match := _TRAFFIC.fullmatch(name):
            kinds.setdefault(match[3], {})[f"{match[1]}_{match[2]}"] = value
    for kind, values in sorted(kinds.items()):
        sizes = amount(values.get("bytes_in", 0)), amount(values.get("bytes_out", 0))
        frames = f"{values.get('frames_in', 0):,}", f"{values.get('frames_out', 0):,}"
        table.add_row(kind, frames[0], sizes[0], frames[1], sizes[1])
    return table


def _other_counters(counters: dict[str, int]) -> Text | None:
    other = [f"{name} {value:,}" for name, value in sorted(counters.items()) if value and not _TRAFFIC.fullmatch(name)]
    return Text("counters: " + ", ".join(other), "dim") if other else None


def _state(state: str) -> Text:
    return Text(state, _STATE_STYLES.get(state.lower(), "yellow"))


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, header_style="dim")
    for column in columns:
        right = column in {"id", "entries", "size", "pending", "conflicts", "round trip", "last seen"}
        right = right or column.endswith((" in", " out"))
        table.add_column(column, justify="right" if right else "left", overflow="fold")
    return table


def amount(size: float) -> str:
    """Bytes for people, in powers of 1024."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"
