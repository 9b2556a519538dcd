"""status: whether it is in sync, and everything else, as a table, live, as JSON, or in one line."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import click
import msgspec
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from l2sync.agent.client import Client, NoAgent, RequestFailed
from l2sync.agent.protocol import Status, StatusQuery

from .exits import FAILED, NO_AGENT, complain, socket_option

_EVERY_S = 1.0


@click.command()
@click.option("--json", "as_json", is_flag=True, help="As JSON; with --watch, a line each second.")
@click.option("--watch", is_flag=True, help="Keep showing it, until Ctrl-C.")
@click.option("--check", is_flag=True, help="One line; exits 0 in sync, 1 not, 2 no agent.")
@click.option("--counters", is_flag=True, help="All counters in the table.")
@socket_option
def status(as_json: bool, watch: bool, check: bool, counters: bool, path: Path) -> None:
    """Show whether this node is in sync, its peers, trees, locks and counters."""
    if check:
        sys.exit(_check(path))
    if watch:
        return _watch_json(path) if as_json else _watch(path, counters)
    found = ask(path)
    if as_json:
        print(msgspec.json.format(msgspec.json.encode(found)).decode())
    else:
        Console().print(render(found, counters))
    return None


def ask(path: Path) -> Status:
    """The agent's status. Raises NoAgent, RequestFailed."""
    with Client(path) as client:
        return client.ask(StatusQuery(), Status)


def verdict(found: Status) -> str:
    """In sync or not, and why not; one line."""
    if found.in_sync:
        online = sum(peer.state == "online" for peer in found.peers)
        return f"in sync with {online} other node{'' if online == 1 else 's'}"
    more = f" (and {len(found.reasons) - 1} more)" if len(found.reasons) > 1 else ""
    return f"not in sync: {found.reasons[0] if found.reasons else 'unknown'}{more}"


def render(found: Status, counters: bool = False) -> RenderableType:
    """The status for people."""
    head = Text("in sync" if found.in_sync else "not in sync", "bold green" if found.in_sync else "bold red")
    parts: list[RenderableType] = [head]
    parts += [Text(f"  {reason}") for reason in found.reasons]
    node = found.node
    number = "no id yet" if node.id is None else f"id {node.id}"
    parts.append(Text(f"\nnode {node.name}, {number}, session {node.session}, l2sync {node.version}\n"))
    parts.append(_peers(found))
    parts.append(_trees(found))
    for tree in found.trees:
        parts += [Text(f"{tree.name}: {one.path}: {one.reason}", "red") for one in tree.failing]
    if found.locks:
        parts.append(_locks(found))
    parts.append(_counters(found) if counters else Text(_traffic(found), "dim"))
    return Group(*parts)


def _peers(found: Status) -> RenderableType:
    if not found.peers:
        return Text("no other node has been heard of\n")
    table = Table("id", "peer", "state", "round trip", "last seen", title="peers", title_justify="left")
    for peer in found.peers:
        style = {"online": "green", "offline": "red"}.get(peer.state, "yellow")
        table.add_row(
            str(peer.id),
            Text(peer.name),
            Text(peer.state, style),
            "" if peer.rtt_ms is None else f"{peer.rtt_ms:.2f} ms",
            "" if peer.last_seen_s is None else f"{peer.last_seen_s:.1f} s ago",
        )
    return table


def _trees(found: Status) -> RenderableType:
    table = Table("tree", "state", "entries", "bytes", "digest", "pending", "conflicts", title="trees")
    table.title_justify = "left"
    for tree in found.trees:
        state = Text(tree.state, "green" if tree.state == "in sync" else "yellow")
        if tree.paused_reason is not None:
            state = Text(f"{tree.state}: {tree.paused_reason}", "red")
        table.add_row(
            Text(f"{tree.name}\n{tree.path}"),
            state,
            f"{tree.entries:,}",
            f"{tree.bytes:,}",
            tree.root_digest[:12],
            str(tree.pending),
            str(tree.conflicts),
        )
    return table


def _locks(found: Status) -> RenderableType:
    table = Table("lock of", "tree", "paths", "for", "state", title="locks", title_justify="left")
    for lock in found.locks:
        more = f" and {len(lock.paths) - 3} more" if len(lock.paths) > 3 else ""
        paths = Text(", ".join(lock.paths[:3]) + more)
        table.add_row(Text(lock.holder), lock.tree, paths, lock.purpose, "held" if lock.granted else "waiting")
    return table


def _traffic(found: Status) -> str:
    count = found.counters
    total = {way: sum(v for k, v in count.items() if k.startswith(f"bytes_{way}_")) for way in ("in", "out")}
    bad = sum(value for name, value in count.items() if name.startswith("bad_"))
    drops = count.get("kernel_drops", 0)
    return f"{total['in']:,} bytes in, {total['out']:,} out, {bad} bad frames, {drops} dropped by the kernel"


def _counters(found: Status) -> RenderableType:
    table = Table("counter", "value", title="counters", title_justify="left")
    table.columns[1].justify = "right"
    for name, value in sorted(found.counters.items()):
        table.add_row(name, f"{value:,}")
    return table


def _check(path: Path) -> int:
    try:
        found = ask(path)
    except NoAgent as error:
        print(f"no agent: {error}")
        return NO_AGENT
    except RequestFailed as error:
        print(f"not in sync: {error}")
        return FAILED
    print(verdict(found))
    return 0 if found.in_sync else FAILED


def _watch_json(path: Path) -> None:
    while True:
        print(msgspec.json.encode(ask(path)).decode(), flush=True)
        time.sleep(_EVERY_S)


def _watch(path: Path, counters: bool) -> None:
    """Live; an agent that restarts is waited for, once it has been there."""
    shown: RenderableType = render(ask(path), counters)
    console = Console()
    if not console.is_terminal:
        complain("--watch needs a terminal; --watch --json does not")
        sys.exit(FAILED)
    with Live(shown, console=console, screen=False, auto_refresh=False) as live:
        while True:
            live.update(shown, refresh=True)
            time.sleep(_EVERY_S)
            try:
                shown = render(ask(path), counters)
            except (NoAgent, RequestFailed) as error:
                shown = Text(str(error), "bold red")
