"""Worlds to be attacked, and what must be so afterwards."""

from __future__ import annotations

from l2sync.modtree import TreePath
from l2sync.node import Node
from tests.simulation.world import SECOND, Host, World

from .byzantine import Byzantine

PRECIOUS = b"precious" * 100


def attacked(hosts: int = 3, seed: int = 9) -> tuple[World, Byzantine]:
    """Hosts in sync, the last of them hostile."""
    world = World(hosts, seed=seed)
    world.hosts[0].disk.write(b"keep/me", PRECIOUS, 1)
    world.start()
    assert world.run(10 * SECOND, lambda: world.in_sync() and world.same())
    return world, Byzantine(world, world.hosts[-1])


def honest(world: World) -> list[Host]:
    """All but the last."""
    return world.hosts[:-1]


def node(host: Host) -> Node:
    """A host's running node."""
    assert host.node is not None
    return host.node


def content(host: Host, path: bytes) -> bytes | None:
    """What a file holds."""
    found = host.disk.files.get(TreePath(path))
    return found.data if found is not None else None


def work_goes_on(world: World, name: bytes) -> bool:
    """Whether an honest user's file still reaches the honest hosts."""
    world.write(world.hosts[0], name, b"by an honest user")
    return world.run(60 * SECOND, lambda: all(h.disk.tree().get(name) is not None for h in honest(world)))


def accused(world: World) -> set[str]:
    """What any honest host accuses the hostile node of."""
    name = world.hosts[-1].name
    return {reason for host in honest(world) for reason in node(host).cluster.hub.misdeeds.get(name, {})}


def named(world: World) -> bool:
    """Whether every honest host shows the hostile node's misdeeds in its status, and has told its log."""
    name = world.hosts[-1].name
    return all(
        any(peer.name == name and peer.misbehaving for peer in node(host).status(world.now).peers)
        and any(note.event == "peer_misbehaves" and note.fields["peer"] == name for note in host.notes)
        for host in honest(world)
    )
