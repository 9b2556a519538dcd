"""How long deletions are remembered, and what becomes of a node that was away for longer or lost its state."""

from __future__ import annotations

from l2sync.frames import Verdict
from l2sync.node.status import TreeInfo

from .test_brake import decide
from .test_world import contents, settled
from .world import SECOND, Host, World

DAY = 86_400
NOON = 1_800_000_000


def filled(hosts: int = 3, files: int = 6) -> World:
    """A segment in sync that knows the time of day."""
    world = World(hosts)
    for number, host in enumerate(world.hosts):
        host.wall = NOON + 20 * number
    for i in range(files):
        world.hosts[0].disk.write(b"d/f%d" % i, b"content %d" % i, 3 + i)
    world.start()
    settled(world)
    world.run(2 * SECOND)
    return world


def pass_days(world: World, days: int) -> None:
    """The time of day goes on, for all hosts."""
    for host in world.hosts:
        assert host.wall is not None
        host.wall += days * DAY
    world.run(3 * SECOND)


def tombstones(host: Host) -> set[bytes]:
    assert host.node is not None
    return {bytes(e.path) for e in host.node.trees["www"].tree.entries() if e.deleted}


def tree(world: World, host: Host) -> TreeInfo:
    assert host.node is not None
    return host.node.status(world.now).trees[0]


def asked(world: World, host: Host) -> str:
    assert world.run(60 * SECOND, lambda: tree(world, host).state == "held")
    return tree(world, host).paused_reason or ""


def test_deletions_are_forgotten_on_all_nodes_whose_clocks_differ() -> None:
    world = filled()
    a, b, c = world.hosts
    world.delete(b, b"d/f0")
    world.run(SECOND)
    settled(world)
    pass_days(world, 89)
    assert all(tombstones(host) == {b"d/f0"} for host in world.hosts)
    pass_days(world, 1)
    world.run(4 * SECOND)
    settled(world)
    assert all(tombstones(host) == set() for host in world.hosts)
    assert all(b"d/f0" not in host.disk.index for host in (a, b, c))
    world.write(c, b"d/f0", b"made anew")
    world.run(SECOND)
    settled(world)
    assert contents(a)[b"d/f0"] == b"made anew"


def away(days: int) -> World:
    """A node goes; two files are deleted, one is edited, one appears on the absent node; so many days pass."""
    world = filled()
    a, _, c = world.hosts
    world.kill(c)
    world.run(5 * SECOND)
    world.delete(a, b"d/f0")
    world.delete(a, b"d/f1")
    world.write(a, b"d/f2", b"edited on a")
    world.run(SECOND)
    settled(world)
    pass_days(world, days)
    world.run(4 * SECOND)
    c.disk.write(b"d/f3", b"edited on c", world.now)
    c.disk.write(b"new on c", b"new", world.now)
    world.start(c)
    return world


def test_who_was_away_for_less_is_told_of_the_deletions() -> None:
    world = away(80)
    settled(world)
    files = contents(world.hosts[2])
    assert b"d/f0" not in files and files[b"new on c"] == b"new" and files[b"d/f2"] == b"edited on a"


def test_who_was_away_for_longer_is_asked_and_brings_nothing_back() -> None:
    world = away(100)
    a, _, c = world.hosts
    told = asked(world, c)
    assert "away for 100 days" in told and "remembered for 90" in told and "3 entries" in told
    assert "d/f0, d/f1, new on c" in told and "l2sync restore www" in told
    world.run(10 * SECOND)
    assert {b"d/f0", b"new on c"}.isdisjoint(contents(a)) and b"d/f0" in contents(c)
    assert contents(c)[b"d/f2"] == b"edited on a" and contents(a)[b"d/f3"] == b"edited on c"


def test_restored_it_has_what_the_others_have_and_loses_nothing() -> None:
    world = away(100)
    a, _, c = world.hosts
    asked(world, c)
    assert decide(world, c, Verdict.RESTORE).ok
    settled(world)
    assert contents(a) == contents(c) and b"d/f0" not in contents(a)
    assert {b"d/f0", b"d/f1", b"new on c"} == set(c.disk.aside)
    world.kill(c)
    world.start(c)
    settled(world)
    assert b"d/f0" not in contents(a)


def test_approved_what_it_has_is_had_again_everywhere() -> None:
    world = away(100)
    a, _, c = world.hosts
    asked(world, c)
    assert decide(world, c, Verdict.APPROVE).ok
    settled(world)
    assert contents(a) == contents(c)
    assert {b"d/f0", b"d/f1", b"new on c"} <= set(contents(a))
    pass_days(world, 10)
    settled(world)


def test_who_was_away_and_has_nothing_more_than_the_others_is_not_asked() -> None:
    world = filled()
    a, _, c = world.hosts
    world.kill(c)
    world.write(a, b"d/f2", b"edited on a")
    pass_days(world, 200)
    world.start(c)
    settled(world)
    assert contents(c)[b"d/f2"] == b"edited on a" and not any(n.event == "tree_held" for n in c.notes)
    world.write(c, b"goes on", b"1")
    assert world.run(5 * SECOND, lambda: b"goes on" in contents(a))


def lost() -> World:
    """A node loses its state while a file is deleted and one edited elsewhere."""
    world = filled()
    a, _, c = world.hosts
    world.kill(c)
    world.run(5 * SECOND)
    world.delete(a, b"d/f0")
    world.write(a, b"d/f2", b"edited on a")
    world.run(SECOND)
    settled(world)
    c.disk.lose_state(world.rng.getrandbits(64))
    return world


def test_a_lost_state_is_no_matter_where_nothing_was_deleted() -> None:
    world = filled()
    a, _, c = world.hosts
    world.kill(c)
    c.disk.lose_state(world.rng.getrandbits(64))
    world.start(c)
    settled(world)
    world.run(2 * SECOND)
    assert len(contents(a)) == 6 and not c.disk.lost
    world.write(c, b"goes on", b"1")
    assert world.run(5 * SECOND, lambda: b"goes on" in contents(a))


def test_a_lost_state_brings_nothing_back_and_is_asked() -> None:
    world = lost()
    a, _, c = world.hosts
    world.start(c)
    told = asked(world, c)
    assert "lost its state" in told and "1 entry here" in told and "d/f0" in told
    world.run(10 * SECOND)
    assert b"d/f0" not in contents(a)
    assert decide(world, c, Verdict.RESTORE).ok
    settled(world)
    assert b"d/f0" not in contents(c) and set(c.disk.aside) == {b"d/f0"}
    assert {b"edited on a", b"content 2"} <= set(contents(a).values())


def test_a_lost_state_approved_brings_back_what_it_has() -> None:
    world = lost()
    a, _, c = world.hosts
    world.start(c)
    asked(world, c)
    assert decide(world, c, Verdict.APPROVE).ok
    settled(world)
    assert contents(a)[b"d/f0"] == b"content 0" == contents(c)[b"d/f0"]


def test_a_start_in_between_asks_again() -> None:
    for world in (lost(), away(100)):
        c = world.hosts[2]
        if c.node is None:
            world.start(c)
        first = asked(world, c)
        world.kill(c)
        world.run(5 * SECOND)
        world.start(c)
        assert asked(world, c) == first
        assert b"d/f0" not in contents(world.hosts[0])


def test_a_state_older_than_the_tree_neither_undoes_nor_brings_back() -> None:
    world = filled()
    a, b, c = world.hosts
    backup = dict(c.disk.index), c.disk.counter, c.disk.replica
    world.write(c, b"d/f1", b"edited on c")
    world.write(c, b"after", b"the backup")
    world.delete(c, b"d/f2")
    world.delete(a, b"d/f3")
    world.run(SECOND)
    settled(world)
    world.kill(c)
    world.write(b, b"d/f1", b"edited on b")
    world.delete(b, b"after")
    world.run(5 * SECOND)
    c.disk.index, c.disk.counter, c.disk.replica = backup
    world.start(c)
    world.run(5 * SECOND)
    settled(world)
    files = contents(a)
    assert files[b"d/f1"] == b"edited on b" and {b"d/f2", b"d/f3"}.isdisjoint(files)
    world.write(c, b"d/f4", b"written under a new number")
    world.run(SECOND)
    settled(world)
    assert contents(a)[b"d/f4"] == b"written under a new number"
