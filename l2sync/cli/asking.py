"""flush, rescan and conflicts: one question, one answer."""

from __future__ import annotations

import datetime
import sys
from pathlib import Path

import click

from l2sync.agent.client import Client
from l2sync.agent.protocol import ConflictCopy, ConflictsQuery, FlushQuery, Rescanned, RescanQuery

from .exits import socket_option


@click.command()
@click.argument("tree", required=False)
@click.option("--timeout", "seconds", type=click.FloatRange(0), help="Give up after so many seconds.")
@socket_option
def flush(tree: str | None, seconds: float | None, path: Path) -> None:
    """Wait until all that is on disk here now is on every online node; 3 on time-out, naming who lacks what."""
    with Client(path) as client:
        client.request(FlushQuery(tree, seconds))


@click.command()
@click.argument("tree", required=False)
@socket_option
def rescan(tree: str | None, path: Path) -> None:
    """Look at the whole tree (or all of them) now, whatever the kernel has reported."""
    with Client(path) as client:
        answer = client.ask(RescanQuery(tree), Rescanned)
    for name, changes in answer.changes.items():
        print(f"{name}: {changes} change{'' if changes == 1 else 's'} found")


@click.command()
@click.argument("tree", required=False)
@click.option("-0", "--null", is_flag=True, help="Only the paths, each ended by a NUL.")
@socket_option
def conflicts(tree: str | None, null: bool, path: Path) -> None:
    """List the conflict copies: the losing sides of edits made at the same time."""
    with Client(path) as client:
        copies = client.ask(ConflictsQuery(tree), list[ConflictCopy])
    for copy in copies:
        full = copy.root.encode() + b"/" + copy.path
        if null:
            sys.stdout.buffer.write(full + b"\0")
            continue
        when = datetime.datetime.fromtimestamp(copy.mtime_ns / 1e9).astimezone()
        print(f"{when:%Y-%m-%d %H:%M:%S}  {copy.size:>12}  {full.decode(errors='backslashreplace')}")
