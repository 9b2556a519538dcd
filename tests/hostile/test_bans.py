"""Bans: cluster-wide, lasting, and heard of by whoever was away."""

from __future__ import annotations

import pytest

from l2sync.cluster import BanList, BanRecord
from l2sync.node.api import BanRequest
from tests.simulation.world import SECOND, Host, World

from .worlds import attacked, content, named, node, work_goes_on


def ban(world: World, host: Host, name: str, banned: bool = True) -> str:
    """Ask a node to ban another; what it answers where it will not."""
    node(host).submit(BanRequest(77, name, banned), world.now)
    world.run(SECOND)
    return host.answers[77].detail


def sees(host: Host, name: str) -> bool:
    """Whether a host takes this node for a member."""
    return any(peer.name == name for peer in node(host).ctx.online())


def test_of_two_words_about_a_name_the_later_holds_in_whatever_order_they_are_heard() -> None:
    words = [BanRecord("x", True, 5, "a"), BanRecord("x", False, 5, "b"), BanRecord("x", True, 4, "c")]
    for order in (words, words[::-1], words[1:] + words[:1]):
        assert BanList(order).records() == (words[1],)
    assert not BanList(words).banned("x")


def test_a_list_that_is_full_forgets_lifted_bans_and_no_standing_one() -> None:
    bans = BanList(BanRecord(f"n{i}", i > 0, i, "a") for i in range(512))
    assert bans.take(BanRecord("new", True, 600, "a")) and bans.get("n0") is None
    assert not bans.take(BanRecord("newer", True, 601, "a"))


@pytest.mark.slow
def test_a_banned_node_is_out_everywhere_and_stays_out_when_it_or_everybody_starts_anew() -> None:
    world, _ = attacked()
    first, second, bad = world.hosts
    assert ban(world, first, bad.name) == ""
    assert not sees(first, bad.name) and not sees(second, bad.name)
    assert node(bad).refused is not None and "banned" in node(bad).refused
    world.write(bad, b"evil", b"x")
    for host in (bad, first, second):
        world.kill(host)
        world.start(host)
        world.run(8 * SECOND)
        assert not sees(first, bad.name) and not sees(second, bad.name)
    assert content(first, b"evil") is None and work_goes_on(world, b"good")
    assert [(b.name, b.by) for b in node(second).status(world.now).bans] == [(bad.name, first.name)]


@pytest.mark.slow
def test_who_was_away_hears_of_the_ban_and_of_its_end_when_it_returns() -> None:
    world, _ = attacked(4)
    first, second, third, bad = world.hosts
    world.kill(third)
    ban(world, first, bad.name)
    world.start(third)
    assert world.run(20 * SECOND, lambda: sees(third, first.name) and not sees(third, bad.name))
    world.kill(third)
    world.kill(first)
    assert ban(world, second, bad.name, False) == ""
    world.kill(bad)
    world.start(third, first)
    assert world.run(20 * SECOND, world.joined) and not world.run(SECOND)
    world.start(bad)
    assert world.run(30 * SECOND, lambda: world.joined() and world.in_sync())


@pytest.mark.slow
def test_only_others_that_were_seen_can_be_banned() -> None:
    world, _ = attacked()
    first = world.hosts[0]
    assert "very node" in ban(world, first, first.name)
    assert "web1, web2" in ban(world, first, "typo")
    assert "not banned" in ban(world, first, "web1", False)


@pytest.mark.slow
def test_what_a_hostile_member_does_is_named_in_log_and_status() -> None:
    world, mallory = attacked()
    for _ in range(20):
        mallory.say(8, b"no ping")
    world.run(SECOND)
    assert named(world)
    told = [note for note in world.hosts[0].notes if note.event == "peer_misbehaves"]
    assert len(told) < 10, "a log that anybody can fill is no log"
