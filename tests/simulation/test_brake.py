"""The brake on mass deletion: held on one node, paused on all, decided by a user on any."""

from __future__ import annotations

from l2sync.frames import Verdict
from l2sync.node.api import Answer, DecideRequest, FlushRequest
from l2sync.node.status import TreeInfo

from .test_world import contents, settled
from .world import SECOND, Host, World

FILES = 40


def filled(hosts: int = 3, files: int = FILES) -> World:
    """A segment in sync, with some files in two directories."""
    world = World(hosts)
    for i in range(files):
        world.hosts[0].disk.write(b"%s/f%d" % (b"ab"[i % 2 : i % 2 + 1], i), b"content %d" % i, 3 + i)
    world.start()
    settled(world)
    return world


def tree(world: World, host: Host) -> TreeInfo:
    assert host.node is not None
    return host.node.status(world.now).trees[0]


def lose(world: World, host: Host, *paths: bytes) -> None:
    """All of it vanishes between two scans."""
    world.touch(host, *[host.disk.delete(path) for path in paths])
    assert world.run(5 * SECOND, lambda: all(tree(world, h).state == "held" for h in world.running()))


def decide(world: World, host: Host, verdict: Verdict, number: int = 9) -> Answer:
    assert host.node is not None
    host.node.submit(DecideRequest(number, "www", verdict), world.now)
    assert world.run(5 * SECOND, lambda: number in host.answers)
    return host.answers[number]


def test_a_mass_deletion_is_held_on_every_node_and_named() -> None:
    world = filled()
    a, b, c = world.hosts
    lose(world, a, b"a", b"b")
    world.run(10 * SECOND)
    assert len(contents(b)) == len(contents(c)) == FILES
    reasons = [tree(world, host).paused_reason or "" for host in world.hosts]
    assert reasons[0].startswith(
        "held: 42 of 42 entries have vanished: a (21 entries), b (21 entries); `l2sync approve"
    )
    assert all(reason.startswith("held by web0: 42 of 42 entries have vanished: a") for reason in reasons[1:])
    assert all("`l2sync restore www`" in reason for reason in reasons)
    assert all(any(note.event == "tree_held" for note in host.notes) for host in world.hosts)


def test_nothing_else_goes_in_or_out_of_a_held_tree() -> None:
    world = filled()
    a, b, c = world.hosts
    lose(world, a, b"a", b"b")
    world.write(a, b"new-on-a", b"1")
    world.write(b, b"new-on-b", b"2")
    world.run(10 * SECOND)
    assert b"new-on-a" not in contents(b) and b"new-on-b" not in contents(a) and b"new-on-b" not in contents(c)


def test_approved_on_another_node_it_goes_everywhere() -> None:
    world = filled()
    a, b, c = world.hosts
    lose(world, a, b"a", b"b")
    world.write(b, b"meanwhile", b"2")
    answer = decide(world, c, Verdict.APPROVE)
    assert answer.ok and answer.detail == "www: approved on web0"
    world.run(2 * SECOND)
    settled(world)
    assert contents(a) == contents(b) == {b"meanwhile": b"2"}


def test_restored_it_is_fetched_from_the_others() -> None:
    world = filled()
    a, b, _ = world.hosts
    before = contents(b)
    lose(world, a, b"a", b"b")
    world.write(a, b"meanwhile", b"1")
    assert decide(world, b, Verdict.RESTORE).ok
    world.run(2 * SECOND)
    settled(world)
    assert contents(a) == before | {b"meanwhile": b"1"} == contents(b)


def test_what_only_the_holder_ever_had_does_not_come_back_and_harms_nobody() -> None:
    world = filled(1)
    (a,) = world.hosts
    lose(world, a, b"a", b"b")
    assert decide(world, a, Verdict.RESTORE).ok
    b = world.add()
    world.start(b)
    world.run(2 * SECOND)
    settled(world)
    assert contents(a) == contents(b) == {}


def test_the_others_edits_survive_an_approval() -> None:
    world = filled()
    a, b, _ = world.hosts
    lose(world, a, b"a", b"b")
    world.write(b, b"a/f0", b"edited meanwhile")
    world.run(SECOND)
    decide(world, a, Verdict.APPROVE)
    world.run(2 * SECOND)
    settled(world)
    assert contents(a) == contents(b) == {b"a/f0": b"edited meanwhile"}


def test_it_ends_by_itself_when_all_is_back() -> None:
    world = filled()
    a, b, _ = world.hosts
    kept = dict(a.disk.files)
    lose(world, a, b"a", b"b")
    a.disk.files.update(kept)
    world.touch(a, *kept)
    settled(world)
    assert len(contents(b)) == FILES and tree(world, a).state == "in sync"


def test_a_scan_after_a_start_is_held_as_well_and_a_start_forgets_no_hold() -> None:
    world = filled()
    a, b, _ = world.hosts
    world.kill(a)
    a.disk.delete(b"a")
    a.disk.delete(b"b")
    for _ in range(2):
        world.start(a)
        assert world.run(20 * SECOND, lambda: all(tree(world, h).state == "held" for h in world.hosts))
        world.kill(a)
        assert world.run(20 * SECOND, lambda: tree(world, b).state == "in sync")
    assert len(contents(b)) == FILES


def test_a_newcomer_learns_what_is_held() -> None:
    world = filled(2)
    lose(world, world.hosts[0], b"a", b"b")
    late = world.add()
    world.start(late)
    assert world.run(20 * SECOND, lambda: "42 of 42" in (tree(world, late).paused_reason or ""))


def test_a_move_of_everything_is_no_deletion() -> None:
    world = filled()
    a, b, _ = world.hosts
    world.rename(a, b"a", b"c/a")
    world.rename(a, b"b", b"c/b")
    world.run(SECOND)
    settled(world)
    assert len(contents(b)) == FILES and all(path.startswith(b"c/") for path in contents(b))


def test_half_of_it_may_go_and_few_entries_always() -> None:
    world = filled()
    a, b, _ = world.hosts
    world.delete(a, b"a")
    world.run(SECOND)
    settled(world)
    assert len(contents(b)) == FILES // 2
    small = filled(files=12)
    small.touch(small.hosts[0], *[small.hosts[0].disk.delete(path) for path in (b"a", b"b")])
    small.run(SECOND)
    settled(small)
    assert contents(small.hosts[1]) == {}


def test_deletions_shortly_after_one_another_count_as_one() -> None:
    world = filled()
    a, b, _ = world.hosts
    world.delete(a, b"a")
    world.run(5 * SECOND)
    settled(world)
    lose(world, a, b"b")
    assert len(contents(b)) == FILES // 2


def test_a_deletion_that_takes_its_time_is_held_as_a_whole() -> None:
    world = filled(2, files := 150)
    a, b = world.hosts
    for i in range(files):
        world.delete(a, b"%s/f%d" % (b"ab"[i % 2 : i % 2 + 1], i))
        world.run(SECOND // 20)
    assert world.run(20 * SECOND, lambda: tree(world, b).state == "held")
    assert len(contents(b)) >= files - 21
    assert decide(world, b, Verdict.RESTORE).ok
    world.run(SECOND)
    settled(world)
    assert len(contents(a)) >= files - 21


def test_a_flush_waits_for_the_end_of_a_large_deletion() -> None:
    world = filled()
    a, b, _ = world.hosts
    world.delete(a, b"a")
    world.run(SECOND // 10)
    assert a.node is not None
    a.node.submit(FlushRequest(5), world.now)
    assert world.run(20 * SECOND, lambda: 5 in a.answers)
    assert len(contents(b)) == FILES // 2


def test_an_old_snapshot_is_held_and_can_be_put_right() -> None:
    world = filled()
    a, b, _ = world.hosts
    old = dict(a.disk.files)
    for i in range(FILES):
        world.write(b, b"%s/f%d" % (b"ab"[i % 2 : i % 2 + 1], i), b"newer %d" % i)
    world.write(b, b"added", b"later")
    world.delete(b, b"a/f0")
    world.run(SECOND)
    settled(world)
    before = contents(b)
    a.disk.files = old
    world.touch(a, *old)
    assert world.run(5 * SECOND, lambda: tree(world, b).state == "held")
    assert "fell back" in (tree(world, a).paused_reason or "")
    decide(world, a, Verdict.RESTORE)
    world.run(2 * SECOND)
    settled(world)
    assert contents(a) == contents(b) == before


def test_there_is_nothing_to_decide_where_nothing_is_held() -> None:
    world = filled(2)
    answer = decide(world, world.hosts[0], Verdict.APPROVE)
    assert not answer.ok and "nothing to decide" in answer.detail
