"""Nodes that come one by one, into each other's arms, on a segment that loses and delays."""

from __future__ import annotations

from random import Random

import pytest

from l2sync.link import Rules

from .world import World

MS = 1_000_000
SECOND = 1_000_000_000


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(12))
def test_nodes_that_come_while_others_still_settle_their_ids_agree_in_the_end(seed: int) -> None:
    """Ids change hands then, nodes drop each other and meet again: a gap in a stream once held all up for ever (4)."""
    world, rng = World(9, seed, Rules(loss=0.05, jitter=15 * MS)), Random(seed)
    for number, host in enumerate(world.hosts):
        if number % 3 == 0:
            world.write(host, f"f{number}".encode(), b"text")
        world.start(host)
        world.run(rng.randrange(0, 150) * MS)
    assert world.run(90 * SECOND, world.in_sync)
    ids = [host.node.cluster.id for host in world.hosts if host.node is not None]
    assert len(set(ids)) == 9 and max(ids) < 12
