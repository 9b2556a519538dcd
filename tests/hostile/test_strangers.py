"""Without the key: junk, mutations, recordings, replays, spoofed addresses."""

from __future__ import annotations

from random import Random

import pytest

from tests.simulation.world import MS, SECOND, Host, World

from .sizes import held
from .worlds import content, node, work_goes_on

Recorded = list[tuple[bytes, bytes]]


def recorded(seed: int = 3) -> tuple[World, Recorded]:
    """A world in sync, and every frame that crossed its segment until now, with its source address."""
    world = World(3, seed=seed)
    heard: Recorded = []

    def listen(source: int, receiver: int, payload: bytes) -> bool:
        heard.append((payload, world.segment.mac(source)))
        return False

    world.segment.drop_when = listen
    world.hosts[0].disk.write(b"keep/me", b"precious" * 9000, 1)
    world.start()
    assert world.run(10 * SECOND, lambda: world.in_sync() and world.same())
    for number in range(3):
        world.write(world.hosts[number], b"file", b"version %d" % number * 999)
        assert world.run(10 * SECOND, lambda: world.in_sync() and world.same())
    world.run(SECOND)
    world.segment.drop_when = None
    return world, heard


def facts(world: World) -> list[object]:
    """What strangers must not change."""
    return [
        (h.disk.tree(), node(h).cluster.id, sorted(p.name for p in node(h).ctx.online()), len(node(h).cluster.locks))
        for h in world.hosts
    ]


def hears(world: World, host: Host, frames: Recorded, every: int = 100_000) -> None:
    """A host hears these frames, while time passes for all."""
    for frame, source in frames:
        if host.node is not None:
            host.node.receive(frame, world.now, source)
            world._effects(host)
        world.run(every)


def admitted(host: Host) -> int:
    """How many frames of members the host has taken in."""
    return sum(node(host).counters[f"frames_in_{kind}"] for kind in ("done", "want", "updtree", "lock", "ban"))


@pytest.mark.slow
def test_replays_within_the_session_change_nothing() -> None:
    world, heard = recorded()
    before, size = facts(world), held(node(world.hosts[0]))
    hears(world, world.hosts[0], heard + heard[::-1])
    world.run(3 * SECOND)
    assert facts(world) == before
    assert held(node(world.hosts[0])) < size + (1 << 20)
    assert node(world.hosts[0]).cluster.counters["replayed"] > len(heard)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_what_living_members_said_before_a_restart_is_not_believed_after_it(seed: int) -> None:
    """The restarted node has no memory of their serials: it must not take in what it has seen in its life before."""
    world, heard = recorded(seed)
    first = world.hosts[0]
    world.kill(first)
    world.run(5 * SECOND)
    world.start(first)
    assert world.run(20 * SECOND, lambda: world.in_sync() and world.same())
    world.run(2 * SECOND)
    before = facts(world)
    delivered = [p.replay._highest for p in node(first).ctx.online()]
    refused = node(first).cluster.counters["replayed"]
    others = [(f, s) for f, s in heard if s != world.segment.mac(first.port)]
    hears(world, first, others)
    world.run(3 * SECOND)
    assert facts(world) == before and delivered
    assert node(first).cluster.counters["replayed"] - refused >= len(others) // 2
    assert not node(first).cluster.hub.misdeeds


@pytest.mark.slow
def test_recordings_of_an_earlier_cluster_change_nothing_in_a_later_one() -> None:
    world, heard = recorded()
    for host in world.hosts:
        world.kill(host)
    world.run(5 * SECOND)
    world.start()
    rng = Random(1)
    hears(world, world.hosts[0], rng.sample(heard, len(heard)))
    assert world.run(20 * SECOND, lambda: world.in_sync() and world.same())
    before = facts(world)
    for host in world.hosts:
        hears(world, host, heard, 10_000)
    world.run(3 * SECOND)
    assert facts(world) == before
    assert work_goes_on(world, b"after")


@pytest.mark.slow
def test_replayed_hellos_from_any_address_are_answered_seldom() -> None:
    world, heard = recorded()
    for host in world.hosts:
        world.kill(host)
    world.start()
    assert world.run(20 * SECOND, lambda: world.in_sync())
    first, rng = world.hosts[0], Random(2)
    greetings = [frame for frame, _ in heard if frame[3] == 1]
    said = node(first).counters["frames_out_welcome"]
    begun = world.now
    for _ in range(20_000):
        node(first).receive(rng.choice(greetings), world.now, rng.randbytes(6))
        world.run(50_000)
    answered = node(first).counters["frames_out_welcome"] - said
    assert answered <= (world.now - begun) // (20 * MS), "an answer may be had 25 times a second and session"
    assert world.joined()


@pytest.mark.slow
def test_junk_and_mutations_leave_nothing_behind() -> None:
    world, heard = recorded()
    before, rng = facts(world), Random(7)
    sizes = [held(node(host)) for host in world.hosts]
    for number in range(30_000):
        frame = bytearray(rng.choice(heard)[0] if rng.random() < 0.8 else rng.randbytes(rng.randrange(1, 300)))
        for _ in range(rng.randrange(1, 4)):
            frame[rng.randrange(len(frame))] ^= 1 << rng.randrange(8)
        node(world.hosts[number % 3]).receive(bytes(frame), world.now, rng.randbytes(6))
    world.run(3 * SECOND)
    assert facts(world) == before
    for host, size in zip(world.hosts, sizes, strict=True):
        assert held(node(host)) < size + (64 << 10), "a stranger's frame may leave counters, and nothing else"
    assert work_goes_on(world, b"after")


@pytest.mark.slow
def test_work_goes_on_while_a_stranger_has_the_switch_send_him_all_that_is_meant_for_one_host() -> None:
    """He needs no key: frames with the others' source addresses teach a switch that they are behind his port."""
    world, _ = recorded()
    astray = [0]

    def transmit(port: int, frame: bytes, address: bytes | None, now: int) -> None:
        if address is not None:
            astray[0] += 1
        else:
            broadcast(port, frame, address, now)

    broadcast, world.segment.transmit = world.segment.transmit, transmit  # type: ignore[method-assign]
    lost: list[object] = []
    for number in range(8):
        world.write(world.hosts[number % 3], b"file", b"written under attack %d" % number)
        world.run(4 * SECOND)
        lost += [note for host in world.hosts for note in host.notes if note.event == "peer_offline"]
    assert astray[0] and not lost
    assert world.run(5 * SECOND, lambda: world.in_sync() and world.same())
    assert content(world.hosts[2], b"file") == b"written under attack 7"
    world.segment.transmit = broadcast  # type: ignore[method-assign]
    world.run(60 * SECOND)
    before = astray[0]
    world.write(world.hosts[0], b"file", b"and in peace")
    assert world.run(5 * SECOND, lambda: world.in_sync() and world.same())
    assert all(p.doubted_at is None for host in world.hosts for p in node(host).ctx.online()) and astray[0] == before
