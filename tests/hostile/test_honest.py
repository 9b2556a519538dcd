"""What bounds on hostile members must not do to honest ones."""

from __future__ import annotations

from random import Random

import pytest

from l2sync.link import Rules
from tests.simulation.world import SECOND, World

from .worlds import content, node


@pytest.mark.slow
def test_a_batch_that_takes_minutes_on_a_slow_segment_keeps_its_lock_and_accuses_nobody() -> None:
    world = World(3, seed=5, rules=Rules(rate=1_000_000))
    world.start()
    assert world.run(10 * SECOND, world.joined)
    data = Random(1).randbytes(5 << 20)
    world.write(world.hosts[0], b"large", data)
    assert not world.run(40 * SECOND, lambda: content(world.hosts[1], b"large") is not None), "it should take longer"
    assert all(len(node(host).cluster.locks) == 1 for host in world.hosts)
    assert world.run(120 * SECOND, lambda: world.in_sync() and world.same())
    assert content(world.hosts[2], b"large") == data
    assert not any(node(host).cluster.hub.misdeeds for host in world.hosts)
