"""A disk that takes long to stage what it has, as with a large file that was changed: it is late, and gets there."""

from __future__ import annotations

import pytest

from .world import World

SECOND = 1_000_000_000


@pytest.mark.slow
@pytest.mark.parametrize("slow", (8, 40))
def test_a_node_whose_disk_takes_long_for_a_batch_holds_up_no_other_and_gets_it(slow: int) -> None:
    """Its origin once forgot the batch before the disk had staged it, and offered it again, for ever."""
    world = World(3)
    world.start()
    assert world.run(20 * SECOND, world.in_sync)
    late = world.hosts[1]
    late.slow = slow * SECOND
    world.write(world.hosts[0], b"f", bytes(range(256)) * 2000)
    assert world.run(15 * SECOND, lambda: b"f" in world.hosts[2].disk.tree())
    assert b"f" not in late.disk.tree()
    assert world.run(4 * slow * SECOND, lambda: world.in_sync() and world.same() and b"f" in late.disk.tree())
