"""Whatever comes in, sealed or not: nothing but counters changes."""

from __future__ import annotations

from random import Random

import pytest

from l2sync.frames import NOID, STREAMED, Entries, Keyring, Kind, pack_prefix, pack_updtree
from l2sync.modtree import pack_entry
from l2sync.node import Node
from tests.frames.examples import MESSAGES, PAYLOADS
from tests.hostile.seeds import synced
from tests.simulation.world import KEY, MS, SECOND, World


def known(world: World) -> list[object]:
    """What must not change: trees on disk, members, the locks that stand."""
    facts: list[object] = []
    for host in world.hosts:
        assert host.node is not None
        node = host.node
        facts += [host.disk.tree(), node.cluster.id, sorted(p.name for p in node.ctx.online()), len(node.cluster.locks)]
    return facts


def _updtrees(node: Node) -> list[bytes]:
    """Every form of updtree, of the tree that the nodes share, entries that are entries among them."""
    shared = node.trees["www"]
    entries = tuple(pack_entry(entry) for entry in shared.tree.entries())
    payloads = [*PAYLOADS.values(), Entries(True, 0, entries)]
    return [pack_updtree(shared.tag, number, payload) for number, payload in enumerate(payloads, 1)]


@pytest.mark.slow
def test_a_hundred_thousand_random_and_mutated_unsealed_frames_change_nothing() -> None:
    world = synced()
    rng = Random(1)
    node = world.hosts[0].node
    assert node is not None
    before = known(world)
    recorded: list[bytes] = []
    world.segment.drop_when = lambda source, receiver, payload: bool(recorded.append(payload))
    world.write(world.hosts[1], b"x", b"y")
    world.run(2 * SECOND)
    world.segment.drop_when = None
    before = known(world)
    for _ in range(100_000):
        frame = bytearray(rng.choice(recorded) if rng.random() < 0.7 else rng.randbytes(rng.randrange(0, 200)))
        for _ in range(rng.randrange(0, 4)):
            if frame:
                frame[rng.randrange(len(frame))] = rng.randrange(256)
        node.receive(bytes(frame), world.now, b"\2\0\0\0\0\1")
        node.take_effects()
    world.run(5 * SECOND)
    assert known(world) == before


@pytest.mark.slow
@pytest.mark.parametrize("kind", list(Kind), ids=lambda kind: kind.name.lower())
def test_sealed_frames_of_a_member_gone_mad_end_in_counters(kind: Kind) -> None:
    """A hundred thousand bodies of each kind, under the key and in a member's own session; none raises."""
    world = synced()
    rng = Random(int(kind))
    a, b = world.hosts
    assert a.node is not None and b.node is not None
    keyring = Keyring("sim", {1: KEY}, 1)
    tree = a.disk.tree()
    bodies = [MESSAGES[kind].pack()] if kind in MESSAGES else _updtrees(a.node)
    sequence = b.node.cluster.hub.broadcast_next
    for number in range(100_000):
        body = bytearray(rng.choice(bodies) if rng.random() < 0.8 else rng.randbytes(rng.randrange(0, 100)))
        for _ in range(rng.randrange(0, 3)):
            if body:
                body[rng.randrange(len(body))] = rng.randrange(256)
        piece = bytes(body)
        if kind in STREAMED and rng.random() < 0.9:
            piece, sequence = pack_prefix(sequence, 0) + piece, sequence + 1
        dst = a.node.cluster.id if kind == Kind.REPAIR else NOID
        frame = keyring.seal(kind, b.node.cluster.id, dst, b.node.cluster.session, (1 << 30) + number, piece)
        a.node.receive(frame, world.now + number, b"\2\0\0\0\0\1")
        if number % 500 == 0:
            a.node.handle_timer(world.now + number)
        a.node.take_effects()
    assert any(name.startswith("bad_") for name in a.node.status(world.now).counters) or kind in (Kind.DATA, Kind.BYE)
    assert a.disk.tree() == tree
    a.node.handle_timer(world.now + SECOND)
    assert a.node.status(world.now + SECOND + MS).node.name == "web0"
