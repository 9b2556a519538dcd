"""`l2sync approve` and `l2sync restore`: what becomes of a tree that is held back."""

from __future__ import annotations

import os
from pathlib import Path

import click

from l2sync.agent.protocol import DecideQuery

from .connection import agent, socket_option


@click.command()
@click.argument("tree")
@socket_option
def approve(tree: str, socket: Path | None) -> None:
    """Let a mass deletion in TREE go everywhere, or what may have been deleted elsewhere be had again everywhere.

    `l2sync status` says what is held back. A mass deletion may be decided upon on any node, the other on the node that
    asks. TREE is a tree's name, or its root.

    Exit status 1: nothing of it is held back.
    """
    decide(tree, True, socket)


@click.command()
@click.argument("tree")
@socket_option
def restore(tree: str, socket: Path | None) -> None:
    """Bring back what a mass deletion took from TREE, from the other nodes; or make it be as theirs.

    What was made or edited since a mass deletion stays. What may have been deleted elsewhere, while this node was away
    or its state lost, is set aside in .l2sync/aside/ at the tree's root. TREE is a tree's name, or its root.

    Exit status 1: nothing of it is held back.
    """
    decide(tree, False, socket)


def decide(tree: str, approve: bool, socket: Path | None) -> None:
    """Ask for it, and say what was done where."""
    with agent(socket) as client:
        reply = client.request(DecideQuery(tree, os.fsencode(os.path.abspath(tree)), approve))
    click.echo(reply.text)
