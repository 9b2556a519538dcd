"""The commands that decide who is a member: ban, unban, and reload, by which keys are replaced."""

from __future__ import annotations

from pathlib import Path

import click

from l2sync.agent.protocol import BanQuery, ReloadQuery

from .connection import agent, socket_option


@click.command()
@click.argument("node")
@socket_option
def ban(node: str, socket: Path | None) -> None:
    """Put the node named NODE out of the cluster, on every node and for good.

    Nodes that are away hear of it when they come back. `l2sync unban` lets it in again. Who still holds the key can
    come back under another name: against somebody hostile, replace the key too.
    """
    with agent(socket) as client:
        client.request(BanQuery(node, True))
    click.echo(f"{node} is banned from the cluster; if it is hostile, replace the key too")


@click.command()
@click.argument("node")
@socket_option
def unban(node: str, socket: Path | None) -> None:
    """Let the node named NODE into the cluster again; its agent tries again every few seconds."""
    with agent(socket) as client:
        client.request(BanQuery(node, False))
    click.echo(f"{node} may join the cluster again")


@click.command()
@socket_option
def reload(socket: Path | None) -> None:
    """Have the agent read its configuration and key file anew.

    What is wrong in them changes nothing and is told, as are keys that would cut off a node that is online.
    """
    with agent(socket) as client:
        client.request(ReloadQuery())
    click.echo("configuration and keys are taken up")
