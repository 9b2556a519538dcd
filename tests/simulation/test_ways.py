"""Frames for all on segments that do not carry every way alike."""

from __future__ import annotations

from l2sync.cluster import Way
from l2sync.frames import group_address
from l2sync.link import Rules

from .test_world import contents, settled
from .world import World


def test_a_cluster_that_multicasts_sends_its_members_nothing_by_broadcast() -> None:
    world = World(3)
    world.destination = Way.MULTICAST
    world.start()
    settled(world)
    world.segment.set_rules(broadcast_limit=0)
    world.write(world.hosts[0], b"one", b"1" * 5000)
    world.run(2_000_000_000)
    settled(world)
    assert contents(world.hosts[2]) == {b"one": b"1" * 5000}
    assert all(host.node is not None and host.node.status(world.now).segment.way == "multicast" for host in world.hosts)


def test_who_comes_finds_a_cluster_that_goes_another_way() -> None:
    world = World(2, rules=Rules(multicast_limit=None))
    world.destination = Way.MULTICAST
    world.start(world.hosts[0])
    world.run(2_000_000_000)
    world.destination = Way.BROADCAST
    world.start(world.hosts[1])
    settled(world)


def test_the_group_address_is_a_locally_administered_group_of_the_cluster_alone() -> None:
    address = group_address(b"\x01\x02\x03\x04")
    assert len(address) == 6 and address[0] & 1 and address[0] & 2
    assert address != group_address(b"\x01\x02\x03\x05")
