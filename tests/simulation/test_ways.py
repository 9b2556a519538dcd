"""Frames for all on segments that do not carry every way alike."""

from __future__ import annotations

from random import Random

import pytest

from l2sync.cluster import Way
from l2sync.frames import Chain, Kind, group_address, parse_header
from l2sync.link import Rules
from l2sync.modtree import tree_path
from l2sync.node.api import LockRequest

from .test_world import contents, settled
from .world import SECOND, Host, World


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


def stormy(hosts: int = 5, **limits: int) -> World:
    """Hosts at 100 Mbit/s, in sync, on a switch that begins to throttle."""
    world = World(hosts, rules=Rules(rate=100_000_000))
    world.start()
    settled(world)
    world.segment.set_rules(**limits)
    return world


def copied(world: World, size: int = 2_000_000) -> float:
    """Seconds from a write on the first host until all have it."""
    data = Random(2).randbytes(size)
    world.write(world.hosts[0], b"big", data)
    begin = world.now
    assert world.run(60 * SECOND, lambda: all(contents(host).get(b"big") == data for host in world.hosts))
    return (world.now - begin) / SECOND


def way(host: Host) -> str:
    assert host.node is not None
    return host.node.status(0).segment.way


def suspects(host: Host) -> tuple[str, ...]:
    assert host.node is not None
    return host.node.status(0).segment.suspects


@pytest.mark.slow
def test_a_sender_leaves_broadcast_where_a_switch_throttles_it_and_says_what_it_suspects() -> None:
    plain = copied(stormy())
    world = stormy(broadcast_limit=100)
    throttled = copied(world)
    assert way(world.hosts[0]) == "multicast"
    assert any("broadcast is throttled" in text and "storm control?" in text for text in suspects(world.hosts[0]))
    assert any(note.event == "way_changed" for note in world.hosts[0].notes)
    assert throttled < plain + 2
    settled(world)


@pytest.mark.slow
def test_where_neither_gets_through_blocks_are_handed_on_from_node_to_node() -> None:
    world = stormy(broadcast_limit=100, multicast_limit=100)
    before = [world.segment.bytes_out(host.port) for host in world.hosts]
    copied(world, 4_000_000)
    assert way(world.hosts[0]) == "from node to node"
    sent = [world.segment.bytes_out(host.port) - then for host, then in zip(world.hosts, before, strict=True)]
    assert all(size < 1.4 * 8_000_000 for size in sent)
    settled(world)


def test_nodes_that_only_ping_stay_online_where_a_switch_stops_all_broadcast() -> None:
    world = stormy(4, broadcast_limit=0)
    world.run(12 * SECOND)
    settled(world)
    assert {way(host) for host in world.hosts} == {"multicast"}
    assert not any(note.event == "peer_offline" for host in world.hosts for note in host.notes)
    assert "no broadcast gets through on this segment: does a switch filter it?" in suspects(world.hosts[1])


@pytest.mark.slow
def test_a_lock_is_held_by_all_where_nothing_to_all_gets_through() -> None:
    world = stormy(4, broadcast_limit=0, multicast_limit=0)
    node = world.hosts[1].node
    assert node is not None
    node.submit(LockRequest(1, "www", (tree_path(b"d"),)), world.now)
    assert world.run(20 * SECOND, lambda: 1 in world.hosts[1].answers)
    assert world.hosts[1].answers[1].ok
    copied(world, 100_000)


@pytest.mark.slow
def test_the_way_configured_is_taken_up_again_when_the_storm_is_over() -> None:
    world = stormy(3, broadcast_limit=50)
    copied(world)
    world.segment.set_rules(broadcast_limit=None)
    assert world.run(400 * SECOND, lambda: way(world.hosts[0]) == "broadcast" and not suspects(world.hosts[0]))
    settled(world)


@pytest.mark.slow
def test_a_card_that_filters_multicast_is_named_and_the_others_do_not_wait_for_it() -> None:
    world = World(4, rules=Rules(rate=100_000_000))
    world.destination = Way.MULTICAST
    world.start()
    settled(world)
    deaf = world.hosts[2]
    world.segment.set_port(deaf.port, deaf_to_groups=True)
    copied(world)
    assert way(world.hosts[0]) == "broadcast"
    assert any(deaf.name in text and "multicast" in text for text in suspects(world.hosts[0]))


@pytest.mark.slow
def test_congestion_is_not_taken_for_a_filter() -> None:
    world = World(4, rules=Rules(rate=100_000_000, loss=0.3))
    world.start()
    settled(world)
    copied(world, 1_500_000)
    world.segment.set_port(world.hosts[3].port, rate=5_000_000)
    copied(world, 1_000_001)
    assert all(way(host) == "broadcast" and not suspects(host) for host in world.hosts)


@pytest.mark.slow
def test_a_chain_goes_on_without_a_node_that_dies_in_it() -> None:
    world = stormy(5, broadcast_limit=20, multicast_limit=20)
    copied(world, 500_000)
    first = world.hosts[0].node
    assert first is not None and way(world.hosts[0]) == "from node to node"
    dies = next(h for h in world.hosts if h.node and h.node.cluster.id == first.cluster.chains.order()[1].id)
    data = Random(9).randbytes(1_000_000)
    world.write(world.hosts[0], b"bigger", data)
    world.run(SECOND // 20)
    world.kill(dies)
    assert world.run(60 * SECOND, lambda: all(contents(host).get(b"bigger") == data for host in world.running()))
    assert first.cluster.chains.order() and dies.name not in {peer.name for peer in first.cluster.chains.order()}


@pytest.mark.slow
def test_who_joins_while_frames_go_from_node_to_node_is_in_the_chain_then() -> None:
    world = stormy(4, broadcast_limit=60, multicast_limit=60)
    copied(world, 500_000)
    late = world.add()
    world.start(late)
    settled(world, 60)
    copied(world, 600_000)
    first = world.hosts[0].node
    assert first is not None and late.name in {peer.name for peer in first.cluster.chains.order()}


def test_a_member_whose_chain_leads_back_to_the_node_it_is_told_to_is_noted() -> None:
    world = World(2)
    world.start()
    settled(world)
    a, b = (host.node for host in world.hosts)
    assert a is not None and b is not None
    a.cluster.send(Kind.CHAIN, Chain(b.cluster.id).pack(), world.now, b.cluster.id)
    world.run(SECOND)
    assert b.cluster.hub.misdeeds["web0"]["chain"] == 1
    assert all(peer.hand_on is None for peer in b.ctx.online())


def test_frames_go_in_the_order_of_their_serials_data_too() -> None:
    """A peer that is asked how much it has heard would else count what was sent behind the question."""
    world, last, late = World(3), dict[int, int](), list[Kind]()

    def watch(source: int, receiver: int, payload: bytes) -> bool:
        header = parse_header(payload)
        if header.serial < last.get(header.session, 0):
            late.append(Kind(header.kind))
        last[header.session] = max(header.serial, last.get(header.session, 0))
        return False

    world.segment.drop_when = watch
    world.start()
    settled(world)
    random = Random(4)
    for number in range(6):
        world.write(world.hosts[0], b"f", random.randbytes(400_000))
        world.run(SECOND // 3 + number * 1_000_000)
    settled(world)
    assert late == []
