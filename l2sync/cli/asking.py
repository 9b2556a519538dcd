"""The commands that ask a running agent: status, flush, rescan, conflicts."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from pathlib import Path

import click
import msgspec
from rich.console import Console
from rich.live import Live

from l2sync.agent.client import Client
from l2sync.agent.protocol import ConflictCopy, ConflictsQuery, FlushQuery, Rescanned, RescanQuery, StatusQuery

from .connection import agent, socket_option
from .exits import Code
from .tables import render_status
from .view import StatusView, printable


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Everything as JSON; with --watch, one line each time.")
@click.option("--watch", is_flag=True, help="Show it live, until Ctrl-C.")
@click.option("--check", is_flag=True, help="One line; exit status 0 in sync, 1 not, 2 no agent.")
@click.option(
    "--interval", metavar="S", type=click.FloatRange(0.05), default=1.0, show_default=True, help="Seconds, for --watch."
)
@socket_option
def status(as_json: bool, watch: bool, check: bool, interval: float, socket: Path | None) -> None:
    """Say whether all is in sync, and if not, why not."""
    if check and (as_json or watch):
        raise click.UsageError("--check goes with neither --json nor --watch")
    with agent(socket) as client:
        if check:
            _check(client)
        elif watch:
            with contextlib.suppress(KeyboardInterrupt):
                _watch_json(client, interval) if as_json else _watch_tables(client, interval)
        elif as_json:
            click.echo(msgspec.json.format(bytes(client.request(StatusQuery()).data), indent=2))
        else:
            Console().print(render_status(client.ask(StatusQuery(), StatusView).shown()))


@click.command()
@click.argument("tree", required=False)
@click.option("--timeout", type=click.FloatRange(0), default=60.0, show_default=True, metavar="S", help="Seconds.")
@socket_option
def flush(tree: str | None, timeout: float, socket: Path | None) -> None:
    """Wait until all that is on disk here now is on every online node.

    Exit status 0 when it is; 3 on time-out, with who lacks what.
    """
    with agent(socket) as client:
        reply = client.request(FlushQuery(tree, timeout))
    click.echo(printable(reply.text) or "all of it is on every online node")


@click.command()
@click.argument("tree", required=False)
@socket_option
def rescan(tree: str | None, socket: Path | None) -> None:
    """Look at the whole TREE again (at every tree, if none is named)."""
    with agent(socket) as client:
        answer = client.ask(RescanQuery(tree), Rescanned)
    for name, changes in answer.changes.items():
        click.echo(f"{name}: {changes} {'change' if changes == 1 else 'changes'} found")


@click.command()
@click.argument("tree", required=False)
@click.option("-0", "--null", is_flag=True, help="End each path with a NUL instead of a newline, for xargs -0.")
@socket_option
def conflicts(tree: str | None, null: bool, socket: Path | None) -> None:
    """List the conflict copies in TREE (in every tree, if none is named), a path a line."""
    with agent(socket) as client:
        copies = client.ask(ConflictsQuery(tree), list[ConflictCopy])
    for copy in copies:
        sys.stdout.buffer.write(os.path.join(os.fsencode(copy.root), copy.path) + (b"\0" if null else b"\n"))
    sys.stdout.buffer.flush()
    if not copies and sys.stdout.isatty():
        click.echo("no conflicts")


def _check(client: Client) -> None:
    seen = client.ask(StatusQuery(), StatusView).shown()
    click.echo(seen.verdict)
    if not seen.in_sync:
        raise click.exceptions.Exit(Code.NO)


def _watch_json(client: Client, interval: float) -> None:
    while True:
        click.echo(bytes(client.request(StatusQuery()).data))
        time.sleep(interval)


def _watch_tables(client: Client, interval: float) -> None:
    with Live(auto_refresh=False, screen=sys.stdout.isatty()) as live:
        while True:
            live.update(render_status(client.ask(StatusQuery(), StatusView).shown()), refresh=True)
            time.sleep(interval)
