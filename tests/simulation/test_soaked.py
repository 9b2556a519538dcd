"""What soaks of real agents have found, each as the shortest story that shows it."""

from __future__ import annotations

from collections.abc import Callable

from l2sync.modtree import Entry, Kind, TreePath, VersionVector
from l2sync.node.api import Commit

from .test_world import contents, settled, started
from .world import SECOND, Host, World


def before_the_next_commit(world: World, host: Host, act: Callable[[], None]) -> None:
    """The user acts, and a scan sees it, right before a commit whose end the node hears after the scan's."""
    carry_out = host.disk.handle

    def handle(request: object) -> object | None:
        if not isinstance(request, Commit) or not request.targets:
            return carry_out(request)
        host.disk.handle = carry_out  # type: ignore[method-assign]
        act()
        seen, life = host.disk.scan(None), host.life
        world._at(world.now, lambda: world._answer(host, life, seen))
        return carry_out(request)

    host.disk.handle = handle  # type: ignore[method-assign]


def test_an_edit_seen_while_a_commit_ran_is_not_forgotten_for_what_was_committed() -> None:
    world = started(2)
    a, b = world.hosts
    world.segment.partition([a.port], [b.port])
    for host in (a, b):
        world.touch(host, host.disk.write(b"f", b"the same on both", 7))
    world.run(10 * SECOND)

    def edit_and_lose_the_cable() -> None:
        b.disk.write(b"f", b"edited since", 9)
        world.segment.partition([a.port], [b.port])

    before_the_next_commit(world, b, edit_and_lose_the_cable)
    world.segment.heal()
    world.run(30 * SECOND)
    world.segment.heal()
    settled(world, 60)
    assert contents(a)[b"f"] == b"edited since"


def test_one_version_told_as_the_write_of_two_comes_to_be_one_again() -> None:
    world = World(3)
    version = VersionVector(((10, 1), (11, 1), (12, 1)))
    for host, writer in zip(world.hosts, (10, 11, 11), strict=True):
        deleted = Entry(path=TreePath(b"gone"), kind=Kind.TOMBSTONE, version=version, dot=(writer, 1), author="w")
        host.disk.index[deleted.path] = deleted
    world.start()
    settled(world, 60)
