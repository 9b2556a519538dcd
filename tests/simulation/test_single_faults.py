"""A fault of one file holds up that file alone: it is listed, tried again, and heals by itself."""

from __future__ import annotations

from l2sync.modtree import TreePath
from l2sync.node.status import FailureInfo

from .test_world import contents, settled, started
from .world import SECOND, Host, World

BAD = TreePath(b"d/bad")


def failing(world: World, host: Host) -> tuple[FailureInfo, ...]:
    assert host.node is not None
    return host.node.status(world.now).trees[0].failing


def test_what_cannot_be_put_in_place_is_listed_and_the_rest_of_its_batch_commits() -> None:
    world = started(3)
    a, b, c = world.hosts
    b.disk.cannot_apply[BAD] = "Operation not permitted"
    for name in (b"d/bad", b"d/good", b"other"):
        world.write(a, name, name * 100)
    world.run(3 * SECOND)
    assert contents(b).keys() == {b"d/good", b"other"} and contents(c).keys() == {b"d/bad", b"d/good", b"other"}
    (listed,) = failing(world, b)
    assert (listed.path, listed.reason, listed.doing) == ("d/bad", "Operation not permitted", "apply")
    assert b.node is not None and not b.node.status(world.now).in_sync
    assert failing(world, c) == ()


def test_it_heals_by_itself_when_the_cause_is_gone() -> None:
    world = started(3)
    a, b, _ = world.hosts
    b.disk.cannot_apply[BAD] = "Operation not permitted"
    world.write(a, BAD, b"content")
    world.run(20 * SECOND)
    b.disk.cannot_apply.clear()
    settled(world, 60)
    assert failing(world, b) == ()


def test_the_waits_between_tries_grow() -> None:
    world = started(2)
    a, b = world.hosts
    b.disk.cannot_apply[BAD] = "Operation not permitted"
    world.write(a, BAD, b"content")
    world.run(600 * SECOND)
    tries = sum(note.event == "entries_failed" for note in b.notes)
    assert 5 <= tries <= 9


def test_other_changes_go_on_while_a_path_fails() -> None:
    world = started(3)
    a, b, c = world.hosts
    b.disk.cannot_apply[BAD] = "File name too long"
    world.write(a, BAD, b"content")
    world.run(3 * SECOND)
    world.write(c, b"later", b"more")
    world.run(2 * SECOND)
    assert contents(b)[b"later"] == b"more" and contents(a)[b"later"] == b"more"


def test_a_newer_version_of_a_failing_path_is_tried_at_once() -> None:
    world = started(2)
    a, b = world.hosts
    b.disk.cannot_apply[BAD] = "Operation not permitted"
    world.write(a, BAD, b"content")
    world.run(200 * SECOND)
    b.disk.cannot_apply.clear()
    world.write(a, BAD, b"newer")
    settled(world, 3)
    assert contents(b)[BAD] == b"newer"


def test_a_file_that_cannot_be_read_holds_up_nothing_else_of_its_batch() -> None:
    world = World(3)
    a, b, c = world.hosts
    for name in (b"d/bad", b"d/good", b"other"):
        a.disk.write(name, name * 100_000, 5)
    world.start(a)
    world.run(SECOND)
    a.disk.cannot_read[BAD] = "Input/output error"
    world.start(b, c)
    world.run(5 * SECOND)
    assert contents(b).keys() == contents(c).keys() == {b"d/good", b"other"}
    (listed,) = failing(world, a)
    assert (listed.path, listed.reason, listed.doing) == ("d/bad", "Input/output error", "read")
    assert a.node is not None and a.node.counters["batches_abandoned"] == 1
    a.disk.cannot_read.clear()
    settled(world, 60)


def test_a_file_that_was_never_readable_is_listed_and_told_when_it_can_be_read() -> None:
    world = started(2)
    a, b = world.hosts
    a.disk.cannot_read[BAD] = "Input/output error"
    world.write(a, BAD, b"content")
    world.write(a, b"fine", b"content")
    world.run(3 * SECOND)
    assert contents(b).keys() == {b"fine"} and [one.path for one in failing(world, a)] == ["d/bad"]
    a.disk.cannot_read.clear()
    settled(world, 60)
    assert contents(b)[BAD] == b"content" and failing(world, a) == ()
