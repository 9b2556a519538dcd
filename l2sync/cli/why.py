"""`l2sync why`: what each node has at a path, and why, in sentences."""

from __future__ import annotations

import os
from pathlib import Path

import click
import msgspec

from l2sync.agent.protocol import WhyQuery

from .accounts import Account, Why, sentences
from .connection import agent, socket_option
from .exits import Code


@click.command()
@click.argument("path", type=click.Path())
@click.option("--json", "as_json", is_flag=True, help="Everything as JSON.")
@click.option(
    "--timeout",
    type=click.FloatRange(0, 600),
    default=5.0,
    show_default=True,
    metavar="S",
    help="Seconds to wait for the other nodes' answers.",
)
@socket_option
def why(path: str, as_json: bool, timeout: float, socket: Path | None) -> None:
    """Say what each node has at PATH, what is under way or in the way there, and why.

    PATH is in a tree, absolute or relative to the working directory, or TREE:PATH, or a tree's name; it need
    not exist any more.

    Exit status 0 when every online node has the same and nothing is in trouble there; 1 when not; 3 when a node did
    not answer in time; 64 for a path that is in no tree.
    """
    query = WhyQuery(os.fsencode(os.path.abspath(path)), os.fsencode(path), timeout)
    with agent(socket) as client:
        told = client.request(query).data
    seen = msgspec.json.decode(told, type=Why)
    if as_json:
        click.echo(msgspec.json.format(bytes(told), indent=2))
    else:
        click.echo("\n".join(sentences(seen)))
    if any(node.state == "silent" for node in seen.nodes):
        raise click.exceptions.Exit(Code.TIMEOUT)
    if not seen.same_everywhere or any(map(_troubled, seen.nodes)):
        raise click.exceptions.Exit(Code.NO)


def _troubled(node: Account) -> bool:
    return bool(node.in_trouble) or any(remark.about in ("failing", "unreadable", "paused") for remark in node.remarks)
