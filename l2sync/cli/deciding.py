"""`l2sync approve`: letting what is held back of a tree go everywhere."""

from __future__ import annotations

import os
from pathlib import Path

import click

from l2sync.agent.protocol import DecideQuery

from .connection import agent, socket_option


@click.command()
@click.argument("tree", metavar="TREE[:PATH]")
@socket_option
def approve(tree: str, socket: Path | None) -> None:
    """Let a mass deletion in TREE go everywhere, or what may have been deleted elsewhere be had again everywhere.

    `l2sync status` says what is held back. A mass deletion may be decided upon on any node, the other on the node that
    asks. TREE is a tree's name, or its root.

    TREE:PATH (or the path itself) says of a place in a tree that what is mounted there now, or is not any more, is
    right: what belonged to the tree and is not there then counts as deleted.

    Exit status 1: nothing of it is held back.
    """
    with agent(socket) as client:
        reply = client.request(DecideQuery(tree, os.fsencode(os.path.abspath(tree))))
    click.echo(reply.text)
