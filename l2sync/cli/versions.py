"""`l2sync versions` and `l2sync restore`: what others replaced here, and bringing it back."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from l2sync.agent.protocol import KeptVersion, Restored, RestoreQuery, VersionsQuery

from .connection import agent, socket_option
from .exits import Code
from .tables import amount
from .view import printable

_WIDE = 1 << 14


@click.command()
@click.argument("path", required=False, type=click.Path())
@click.option("--json", "as_json", is_flag=True, help="Everything as JSON.")
@socket_option
def versions(path: str | None, as_json: bool, socket: Path | None) -> None:
    """List what others' changes and deletions replaced here, of PATH and all below it, or of every tree.

    PATH is in a tree, absolute or relative to the working directory, or TREE:PATH, or a tree's name; it need not exist
    any more. Versions are kept where the configuration says keep_versions_days.
    """
    query = VersionsQuery() if path is None else VersionsQuery(_absolute(path), os.fsencode(path))
    with agent(socket) as client:
        if as_json:
            click.echo(bytes(client.request(query).data))
            return
        found = client.ask(query, list[KeptVersion])
    if found:
        # In a pipe nothing is folded: an ID is there to be copied.
        Console(width=None if sys.stdout.isatty() else _WIDE).print(_table(found))
    else:
        what = "" if path is None else f" of {printable(path)}"
        click.echo(f"no versions{what} are kept" + ("" if what else " (keep_versions_days says where they are)"))


@click.command()
@click.argument("what", metavar="PATH|TREE", type=click.Path())
@click.option("--version", metavar="ID", help="Which one, as `l2sync versions` names it; the newest by default.")
@socket_option
def restore(what: str, version: str | None, socket: Path | None) -> None:
    """Bring back what others replaced at PATH, or what a mass deletion took from TREE.

    PATH (in a tree, absolute or relative to the working directory, or TREE:PATH) gets a version that was kept here, as
    a change of your own, which goes to every node. Of a directory, all below it that is gone comes back. What stands
    at a path now is kept as a version itself.

    TREE (a tree's name, or its root) is one that `l2sync status` says is held back. What a mass deletion took from it
    comes back from the other nodes; what was made or edited since stays. What may have been deleted elsewhere, while
    this node was away or its state lost, is set aside in .l2sync/aside/ at the tree's root.

    Exit status 1: some of it could not be brought back, or nothing of TREE is held back.
    """
    with agent(socket) as client:
        reply = client.request(RestoreQuery(_absolute(what), os.fsencode(what), version))
        if reply.text:
            click.echo(reply.text)
            return
        done = client.decode(reply, Restored)
    for one in done.paths:
        click.echo(f"restored {_shown(done.tree, os.fsdecode(one))}")
    for one, reason in done.failed:
        click.echo(f"l2sync: {_shown(done.tree, os.fsdecode(one))}: {printable(reason)}", err=True)
    if done.failed:
        raise click.exceptions.Exit(Code.NO)


def _table(found: list[KeptVersion]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("path", overflow="fold")
    for column in ("version", "replaced", "size"):
        table.add_column(column, justify="right" if column == "size" else "left", no_wrap=True)
    for one in found:
        size = amount(one.size) if one.kind == "file" else one.kind
        table.add_row(Text(_shown(one.tree, one.path)), one.id, _time(one.kept_ns), size)
    return table


def _shown(tree: str, path: str) -> str:
    return f"{tree}:{printable(path)}"


def _time(ns: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(ns // 1_000_000_000))


def _absolute(path: str) -> bytes:
    return os.fsencode(os.path.abspath(path))
