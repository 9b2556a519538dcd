"""A member that claims everything for ever, or is a thousand members: named, bounded, and put out by a ban."""

from __future__ import annotations

from random import Random

import pytest

from l2sync.frames import NOID, Ack, Echo, Hello, Kind, Register
from l2sync.node.api import BanRequest
from tests.simulation.world import MS, SECOND, World

from .byzantine import Byzantine, number
from .sizes import held
from .worlds import accused, attacked, content, honest, named, node, work_goes_on


@pytest.mark.slow
def test_locks_on_everything_for_ever_are_named_and_end_with_a_ban() -> None:
    world, mallory = attacked()
    claim = 0

    def lock(times: int) -> None:
        nonlocal claim
        for _ in range(times):
            claim += 1
            if mallory.can_say(None):
                mallory.lock(claim, b"")

    lock(300)
    world.write(world.hosts[0], b"waits", b"for the lock")
    for _ in range(20):
        world.run(2 * SECOND)
        lock(5)
    assert content(world.hosts[1], b"waits") is None
    assert {"lock held without end", "too many locks"} <= accused(world) and named(world)
    assert all(len(node(host).cluster.locks) <= 300 for host in honest(world))
    node(world.hosts[1]).submit(BanRequest(1, world.hosts[-1].name, True), world.now)
    world._effects(world.hosts[1])
    assert world.run(10 * SECOND, lambda: content(world.hosts[1], b"waits") == b"for the lock")
    assert not any(len(node(host).cluster.locks) for host in honest(world))


def register(world: World, mallory: Byzantine, name: str, session: int, node_id: int) -> None:
    """A member that does not exist takes an id; who has the key can read all nonces, and so echo them."""
    echoes = tuple(Echo(node(h).cluster.session, node(h).cluster.hub.nonce) for h in honest(world))
    nonce = session.to_bytes(8, "big")
    mallory.say(Kind.HELLO, Hello(name, nonce).pack(), src=NOID, session=session, serial=0)
    mallory.say(Kind.REGISTER, Register(name, nonce, 0, echoes).pack(), src=node_id, session=session, serial=1)


@pytest.mark.slow
@pytest.mark.slow
def test_who_lies_of_how_far_its_stream_goes_is_named_and_holds_work_up_once() -> None:
    """Given an answer that tells of a place in the stream that never comes, when work follows work, then it goes on."""
    world, mallory = attacked()
    for host in honest(world):
        lie = Ack(node(host).cluster.session, (), 0, 1 << 47, None)
        mallory.say(Kind.ACK, lie.pack(), host)
    world.run(SECOND)
    assert work_goes_on(world, b"first")
    assert "lying answer" in accused(world)
    began = world.now
    assert work_goes_on(world, b"second") and work_goes_on(world, b"third")
    assert world.now - began < 10 * SECOND


def test_a_thousand_names_cost_little_are_noticed_and_stop_nobody() -> None:
    world, mallory = attacked()
    sizes = [held(node(host)) for host in honest(world)]
    rng, most = Random(4), 0
    for one in range(1000):
        register(world, mallory, f"fake{one}", rng.getrandbits(64), 1000 + one)
        world.run(5 * MS)
        most = max(most, len(list(node(world.hosts[0]).ctx.online())))
    assert 4 < most <= 20, "some of them are believed, at most as many as may hide behind one address"
    for host, size in zip(honest(world), sizes, strict=True):
        assert held(node(host)) < size + (4 << 20)
    assert any("too many names" in reasons for reasons in node(world.hosts[0]).cluster.hub.misdeeds.values())
    assert work_goes_on(world, b"after")
    world.run(10 * SECOND)
    assert {p.name for p in node(world.hosts[0]).ctx.online()} == {h.name for h in world.hosts[1:]}


@pytest.mark.slow
def test_who_takes_another_members_id_again_and_again_puts_nobody_out_for_long() -> None:
    world, mallory = attacked()
    first = world.hosts[0]
    for one in range(50):
        register(world, mallory, f"thief{one}", 500 + one, number(first) if number(first) != NOID else 0)
        world.run(200 * MS)
    assert world.run(20 * SECOND, world.joined)
    assert work_goes_on(world, b"after")
