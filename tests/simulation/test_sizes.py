"""Frames are as large as all who are online can take: found out by probes, not believed."""

from __future__ import annotations

from random import Random

import pytest

from l2sync.frames import Keyring, Kind, parse_header
from l2sync.link import Rules

from .test_world import contents, settled
from .world import KEY, MS, SECOND, Host, World


def frame(host: Host) -> int:
    assert host.node is not None
    return host.node.status(0).segment.frame


def suspects(host: Host) -> str:
    assert host.node is not None
    return "; ".join(host.node.status(0).segment.suspects)


def world_of(hosts: int, mtu: int, seed: int = 3, **rules: int) -> World:
    world = World(hosts, seed, Rules(mtu=mtu, rate=1_000_000_000, **rules))
    world.start()
    settled(world)
    return world


def copy(world: World, name: bytes, size: int, sender: int = 0, seconds: int = 30) -> None:
    data = Random(size).randbytes(size)
    world.write(world.hosts[sender], name, data)
    online = world.running()
    assert world.run(seconds * SECOND, lambda: all(contents(host).get(name) == data for host in online))


def test_jumbo_frames_are_used_once_probes_have_passed_and_not_before() -> None:
    world = World(3, 3, Rules(mtu=9000))
    longest: list[int] = []
    reader = Keyring("sim", {1: KEY}, 1)

    def watch(source: int, receiver: int, payload: bytes) -> bool:
        header = parse_header(payload)
        if header.kind not in (Kind.PROBE, Kind.TALLY):
            assert reader.open(header, payload) is not None
            longest.append(len(payload))
        return False

    world.segment.drop_when = watch
    world.hosts[0].disk.write(b"a", Random(1).randbytes(300_000), 5)
    world.start()
    assert not world.run(200 * MS) and max(longest) <= 1500
    settled(world)
    assert world.run(5 * SECOND, lambda: all(frame(host) == 9000 for host in world.hosts))
    copy(world, b"b", 300_000)
    assert max(longest) > 8000


@pytest.mark.slow
def test_one_host_of_a_smaller_mtu_is_named_and_frames_shrink_until_it_is_gone() -> None:
    world = world_of(3, 9000)
    assert world.run(5 * SECOND, lambda: frame(world.hosts[0]) == 9000)
    small = world.add()
    small.mtu = 1400
    world.segment.set_port(small.port, largest=1400)
    world.start(small)
    settled(world)
    assert world.run(5 * SECOND, lambda: all(frame(host) == 1400 for host in world.hosts))
    assert f"{small.name} takes frames of 1400 bytes at the most" in suspects(world.hosts[0])
    assert any(n.event == "frame_size_changed" and small.name in str(n.fields) for n in world.hosts[1].notes)
    copy(world, b"c", 500_000)
    world.kill(small)
    assert world.run(10 * SECOND, lambda: all(frame(h) == 9000 for h in world.running()))
    assert not suspects(world.hosts[0])


@pytest.mark.slow
def test_a_switch_that_drops_large_frames_before_one_host_is_noticed_and_that_host_named() -> None:
    world = world_of(4, 9000)
    assert world.run(5 * SECOND, lambda: frame(world.hosts[0]) == 9000)
    behind = world.hosts[2]
    world.segment.set_port(behind.port, largest=4000)
    copy(world, b"c", 3_000_000)
    settled(world)
    assert frame(world.hosts[0]) == 2304
    assert f"frames of more than 2304 bytes do not reach {behind.name}" in suspects(world.hosts[0])
    world.segment.set_port(behind.port)
    assert world.run(80 * SECOND, lambda: frame(world.hosts[0]) == 9000)


@pytest.mark.slow
def test_messages_on_their_way_arrive_in_parts_when_frames_have_to_shrink() -> None:
    world = world_of(3, 1500)
    behind = world.hosts[1]
    world.segment.set_port(behind.port, largest=1100)
    files = {b"d/%03d" % number: b"x%d" % number for number in range(600)}
    for path, data in files.items():
        world.write(world.hosts[0], path, data)
    copy(world, b"big", 1_000_000)
    settled(world)
    assert contents(behind).items() >= files.items()
    node = world.hosts[0].node
    assert node is not None and node.counters["frames_out_part"] > 0
    assert not any(note.event == "peer_offline" for host in world.hosts for note in host.notes)


@pytest.mark.slow
def test_many_nodes_are_probed_by_one_frame_and_answer_in_one() -> None:
    world = World(14, 4, Rules(mtu=1500))
    world.start()
    settled(world)
    world.run(4 * SECOND)
    for host in world.hosts:
        assert host.node is not None
        counters = host.node.counters
        assert counters["frames_out_probe"] == 1 and counters["frames_out_probed"] <= 2
        sizes = host.node.cluster.sizes
        assert all(sizes.confirmed(peer) == 1500 for peer in host.node.ctx.online())
