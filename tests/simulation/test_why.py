"""Asking all nodes about one path: what each has, and why."""

from __future__ import annotations

from l2sync.frames import Kind, Query
from l2sync.modtree import TreePath
from l2sync.node.api import CancelRequest, LockRequest, WhyRequest
from l2sync.node.explanation import Explanation, NodeAccount

from .test_world import settled, started
from .world import MS, SECOND, Host, World

PATH = TreePath(b"d/f")
PATIENCE = 5 * SECOND


def asked(world: World, host: Host, path: bytes = PATH, number: int = 77) -> Explanation:
    """Ask on one host, and wait for the answer."""
    assert host.node is not None
    host.answers.pop(number, None)
    host.node.submit(WhyRequest(number, "www", TreePath(path), PATIENCE), world.now)
    world.run(PATIENCE + SECOND, lambda: number in host.answers)
    told = host.answers[number].data
    assert isinstance(told, Explanation)
    return told


def states(told: Explanation) -> dict[str, str]:
    return {node.name: node.state for node in told.nodes}


def account(told: Explanation, name: str) -> NodeAccount:
    return next(node for node in told.nodes if node.name == name)


def remarks(told: Explanation, name: str) -> dict[str, str]:
    return {remark.about: remark.text for remark in account(told, name).remarks}


def test_all_nodes_say_that_they_have_the_same() -> None:
    world = started(3)
    a, _, c = world.hosts
    world.write(a, PATH, b"content")
    settled(world)
    told = asked(world, c)
    assert states(told) == {"web0": "same", "web1": "same", "web2": "same"} and told.same_everywhere
    assert told.newest is not None
    assert (told.newest.author, told.newest.size, told.newest.kind) == ("web0", 7, "file")
    assert told.nodes[0].name == "web2" and told.nodes[0].here
    assert all(not node.remarks for node in told.nodes)


def test_a_path_that_is_gone_is_told_with_who_deleted_it() -> None:
    world = started(2)
    a, b = world.hosts
    world.write(a, PATH, b"content")
    settled(world)
    world.delete(b, PATH)
    settled(world)
    told = asked(world, a)
    assert told.newest is not None and (told.newest.kind, told.newest.author) == ("tombstone", "web1")
    assert told.same_everywhere


def test_a_path_that_nobody_ever_heard_of() -> None:
    told = asked(world := started(2), world.hosts[0], b"never/there")
    assert told.newest is None and states(told) == {"web0": "none", "web1": "none"}


def test_why_one_node_has_an_older_version() -> None:
    world = started(3)
    a, b, c = world.hosts
    world.write(a, PATH, b"old")
    settled(world)
    b.disk.cannot_apply[PATH] = "Operation not permitted"
    world.write(a, PATH, b"newer")
    world.run(3 * SECOND)
    for asker in (a, b, c):
        told = asked(world, asker)
        assert states(told) == {"web0": "same", "web1": "older", "web2": "same"} and not told.same_everywhere
        assert remarks(told, "web1") == {"failing": "Operation not permitted"}
        old = account(told, "web1").version
        assert old is not None and old.size == 3


def test_a_directory_tells_what_is_in_trouble_below_it() -> None:
    world = started(2)
    a, b = world.hosts
    for number in range(60):
        b.disk.cannot_apply[TreePath(b"d/f%d" % number)] = "File name too long"
        world.write(a, b"d/f%d" % number, b"x")
    world.run(3 * SECOND)
    told = account(asked(world, a, b"d"), "web1")
    assert told.in_trouble == 60 and len(told.below) == 50 and told.below[0].text == "File name too long"


def test_what_is_ignored_paused_or_locked_is_said() -> None:
    world = started(3)
    a, b, c = world.hosts
    world.write(a, PATH, b"content")
    settled(world)
    b.disk.ignored[PATH] = "*.swp in .l2syncignore"
    assert c.node is not None and b.node is not None
    c.node.submit(LockRequest(5, "www", (TreePath(b"d"),)), world.now)
    world.run(SECOND, lambda: 5 in c.answers)
    told = asked(world, a)
    assert remarks(told, "web1") == {"ignored": "*.swp in .l2syncignore"}
    assert [(lock.holder, lock.paths, lock.granted) for lock in told.locks] == [("web2", ("d",), True)]
    assert asked(world, a, b"elsewhere").locks == ()


def test_a_change_that_was_not_looked_at_yet_is_said() -> None:
    world = started(2)
    a, b = world.hosts
    world.write(a, PATH, b"content")
    settled(world)
    b.disk.write(PATH, b"unseen", world.now)
    assert "changed" in remarks(asked(world, a), "web1")


def test_a_change_under_way_is_said() -> None:
    world = World(2, disk_delay=3 * SECOND)
    world.start()
    settled(world, 60)
    a, b = world.hosts
    world.disk_delay = 3 * SECOND
    world.write(a, PATH, bytes(300_000))
    world.run(4 * SECOND)
    told = asked(world, b)
    about = remarks(told, "web0").keys() | remarks(told, "web1").keys()
    assert "pending" in about or "receiving" in about


def test_a_dead_node_is_unreachable_and_a_mute_one_silent() -> None:
    world = started(3)
    a, b, c = world.hosts
    world.write(a, PATH, b"content")
    settled(world)
    world.kill(c)
    world.run(10 * SECOND)
    b.disk.mute = True
    before = world.now
    told = asked(world, a)
    assert states(told) == {"web0": "same", "web1": "silent", "web2": "unreachable"}
    assert not told.same_everywhere and world.now - before >= PATIENCE


def test_a_node_that_dies_meanwhile_is_not_waited_for_longer_than_that() -> None:
    world = started(2)
    a, b = world.hosts
    assert a.node is not None
    world.kill(b)
    a.node.submit(WhyRequest(77, "www", PATH, 600 * SECOND), world.now)
    assert world.run(20 * SECOND, lambda: 77 in a.answers)


def test_a_cancelled_question_is_forgotten() -> None:
    world = started(2)
    a, b = world.hosts
    b.disk.mute = True
    assert a.node is not None
    a.node.submit(WhyRequest(77, "www", PATH, SECOND), world.now)
    a.node.submit(CancelRequest(77), world.now)
    world.run(2 * SECOND)
    assert 77 not in a.answers


def test_a_flood_of_questions_by_one_member_is_bounded() -> None:
    world = started(2)
    a, b = world.hosts
    b.disk.mute = True
    assert a.node is not None and b.node is not None
    tag = a.node.trees["www"].tag
    for number in range(100):
        a.node.cluster.send(Kind.QUERY, Query(number, tag, b"x").pack(), world.now)
    world.run(500 * MS)
    assert b.node.counters["queries_refused"] == 84


def test_paths_that_are_none_end_in_a_counter() -> None:
    world = started(2)
    a, b = world.hosts
    assert a.node is not None and b.node is not None
    a.node.cluster.send(Kind.QUERY, Query(1, a.node.trees["www"].tag, b"../../etc/shadow").pack(), world.now)
    world.run(500 * MS)
    assert b.node.counters["bad_message"] == 1
