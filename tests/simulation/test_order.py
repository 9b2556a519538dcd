"""Batches of one node on their way at once: what is small does not overtake the directory that it lies in."""

from __future__ import annotations

from dataclasses import replace

import pytest

from .world import Host, World

SECOND = 1_000_000_000


def with_two_batches_on_their_way(seed: int = 0) -> World:
    """Two hosts, the first with a batch that makes a directory and a small one, right behind it, that needs it."""
    world = World(2, seed)
    world.start()
    assert world.run(20 * SECOND, world.in_sync)
    origin = world.hosts[0]
    assert origin.node is not None
    origin.node.ctx.settings = replace(origin.node.ctx.settings, batch_bytes=2_050_000)
    world.write(origin, b"d/a", bytes(range(256)) * 8000)
    world.write(origin, b"d/z", b"small" * 2000)
    return world


def failures(host: Host) -> list[object]:
    return [note.fields for note in host.notes if note.event == "entries_failed"]


@pytest.mark.parametrize("seed", range(5))
def test_a_small_file_waits_for_the_directory_that_a_larger_batch_makes(seed: int) -> None:
    world = with_two_batches_on_their_way(seed)
    other = world.hosts[1]
    assert world.run(20 * SECOND, lambda: world.in_sync() and world.same() and b"d/z" in other.disk.tree())
    assert failures(other) == []


def test_what_waits_for_a_directory_that_never_comes_waits_no_longer() -> None:
    world = with_two_batches_on_their_way()
    origin, other = world.hosts
    assert other.node is not None
    desk = other.node.receiving
    assert world.run(5 * SECOND, lambda: bool(desk.turns))
    world.kill(origin)
    assert world.run(60 * SECOND, lambda: not desk.batches)
    world.start(origin)
    assert world.run(60 * SECOND, lambda: world.in_sync() and world.same() and b"d/a" in other.disk.tree())
