"""Who is who: a copied host, a lost or outdated state."""

from __future__ import annotations

from copy import deepcopy

import pytest

from .test_world import contents, settled
from .world import SECOND, Host, World


def copy_of(world: World, host: Host, name: str) -> Host:
    """A host made from another's disk and state, its agent not started."""
    made = world.add()
    made.name, made.disk, made.registry = name, deepcopy(host.disk), dict(host.registry)
    return made


def paused(world: World, host: Host) -> str:
    assert host.node is not None
    return host.node.status(world.now).trees[0].paused_reason or ""


def filled(hosts: int = 2) -> World:
    world = World(hosts)
    for i in range(5):
        world.hosts[0].disk.write(b"f%d" % i, b"content %d" % i, 3 + i)
    world.start()
    settled(world)
    return world


def test_a_copy_of_a_host_under_its_name_is_refused_and_both_are_named() -> None:
    world = filled()
    a, b = world.hosts
    copy = copy_of(world, a, a.name)
    world.start(copy)
    assert world.run(20 * SECOND, lambda: copy.node is not None and copy.node.refused is not None)
    assert copy.node is not None
    told = copy.node.refused or ""
    assert "'web0' is already here" in told and "state directory" in told
    assert any("'web0' tried to join from 02:" in str(note.fields) for note in a.notes)
    world.write(a, b"goes on", b"1")
    assert world.run(5 * SECOND, lambda: b"goes on" in contents(b))


def test_a_renamed_copy_keeps_out_of_the_tree_and_both_name_both() -> None:
    world = filled()
    a, b = world.hosts
    copy = copy_of(world, a, "web7")
    copy.disk.write(b"only on the copy", b"x", 9)
    world.start(copy)
    assert world.run(20 * SECOND, lambda: "one identity" in paused(world, copy))
    assert "web7 and web0" in paused(world, copy) and "state directory" in paused(world, copy)
    assert any("web0 and web7" in str(note.fields) for note in a.notes if note.event == "twin")
    world.write(a, b"goes on", b"1")
    assert world.run(5 * SECOND, lambda: b"goes on" in contents(b))
    world.run(10 * SECOND)
    assert b"only on the copy" not in contents(b) and b"goes on" not in contents(copy)


def test_a_copy_that_starts_over_with_a_state_of_its_own_is_a_node_like_any_other() -> None:
    world = filled()
    a, b = world.hosts
    copy = copy_of(world, a, "web7")
    copy.disk.write(b"f0", b"changed on the copy", 9)
    world.start(copy)
    assert world.run(20 * SECOND, lambda: "one identity" in paused(world, copy))
    world.kill(copy)
    copy.disk.index, copy.disk.counter, copy.disk.replica = {}, 0, world.rng.getrandbits(64)
    world.start(copy)
    settled(world)
    assert set(contents(b).values()) == {b"content %d" % i for i in range(5)} | {b"changed on the copy"}


def test_the_copy_takes_part_once_the_original_is_gone() -> None:
    world = filled()
    a, b = world.hosts
    copy = copy_of(world, a, "web7")
    world.start(copy)
    assert world.run(20 * SECOND, lambda: "one identity" in paused(world, copy))
    world.kill(a)
    world.run(5 * SECOND)
    world.write(copy, b"new", b"1")
    settled(world)
    assert contents(b)[b"new"] == b"1"


def test_copies_of_one_host_that_meet_after_a_partition_lose_nothing() -> None:
    world = filled()
    a, b = world.hosts
    copy = copy_of(world, a, a.name)
    late = world.add()
    world.segment.partition([a.port, b.port], [copy.port, late.port])
    world.start(copy, late)
    world.run(5 * SECOND)
    world.write(a, b"f1", b"by the original")
    world.write(copy, b"f1", b"by the copy")
    world.run(5 * SECOND)
    world.segment.heal()
    world.run(20 * SECOND)
    world.kill(copy)
    world.kill(a)  # whichever of the two was refused, its agent tries again
    world.run(5 * SECOND)
    world.start(a)
    settled(world)
    assert {b"by the original", b"by the copy"} <= set(contents(b).values())


@pytest.mark.parametrize("seed", range(6))
def test_a_copy_offers_nothing_before_it_knows_who_is_there(seed: int) -> None:
    """The original's first pings are lost: what the copy offered until then would pass for a state that fell back."""
    world = World(3, seed)
    world.hosts[0].disk.write(b"f", b"content", 3)
    world.start()
    settled(world)
    a, b, c = world.hosts
    copy = copy_of(world, a, "web7")
    copy.disk.write(b"only on the copy", b"x", 9)
    assert a.node is not None
    presence = a.node.cluster.presence

    def lost(now: int) -> None:
        presence._ping_at = now + SECOND // 10

    presence._send_ping = lost  # type: ignore[method-assign]
    world.start(copy)
    world.run(SECOND)
    del presence._send_ping
    assert world.run(20 * SECOND, lambda: "one identity" in paused(world, copy) + paused(world, a))
    assert b"only on the copy" not in contents(b) and b"only on the copy" not in contents(c)
