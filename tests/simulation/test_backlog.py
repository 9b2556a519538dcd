"""More own changes than a node names at once: all of them are told, though others go on meanwhile."""

from __future__ import annotations

import pytest

from l2sync.modtree import tree as modtree
from l2sync.node import reconcile
from l2sync.node import tree as node_tree

from .world import Host, World

MS = 1_000_000
SECOND = 1_000_000_000


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node_tree, "_MOST_NAMED", 5)
    monkeypatch.setattr(node_tree, "_SWEPT_AT_ONCE", 4)


def fill(world: World, host: Host, count: int, text: bytes = b"text") -> None:
    for number in range(count):
        world.write(host, b"d%d/%d/f%d" % (number % 3, number % 7, number), text)


def most_named(world: World) -> int:
    return max(len(host.node.trees["www"].dirty) for host in world.running() if host.node is not None)


def test_many_changes_at_once_are_told_by_portions_and_all_of_them() -> None:
    world = World(3)
    world.start()
    assert world.run(20 * SECOND, world.in_sync)
    fill(world, world.hosts[1], 60)
    assert not world.run(6 * MS)
    assert most_named(world) <= 9
    assert world.run(20 * SECOND, lambda: world.in_sync() and world.same() and len(world.hosts[0].disk.tree()) > 60)


def test_what_changes_again_while_it_is_told_is_told_again(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(2)
    world.start()
    assert world.run(20 * SECOND, world.in_sync)
    monkeypatch.setattr(reconcile.Reconciler, "tick", lambda *_: None)  # else comparing would find it too
    fill(world, world.hosts[0], 80)
    world.run(20 * MS)
    fill(world, world.hosts[0], 80, b"later")
    done = world.now + 4 * SECOND
    while world.now < done:
        world.run(100 * MS)
        world.write(world.hosts[0], b"steady", b"%d" % world.now)
    there = world.hosts[1].disk.tree()
    assert all(there[b"d%d/%d/f%d" % (n % 3, n % 7, n)][1] == b"later" for n in range(80))
    assert world.run(20 * SECOND, lambda: world.in_sync() and world.same())


def test_nobody_being_there_nothing_is_kept_for_later_but_whoever_comes_gets_all() -> None:
    world = World(2)
    fill(world, world.hosts[0], 50)
    world.start(world.hosts[0])
    world.run(10 * SECOND)
    assert most_named(world) == 0 and world.in_sync()
    world.start(world.hosts[1])
    assert world.run(30 * SECOND, lambda: world.in_sync() and world.same())
    assert len(world.hosts[1].disk.tree()) > 50


def test_where_all_of_two_trees_differs_they_become_one_a_few_paths_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconcile, "_DEEPER_AT_ONCE", 2)
    monkeypatch.setattr(reconcile, "_MANY", 10)
    monkeypatch.setattr(reconcile, "_MOST_ASKED", 7)
    monkeypatch.setattr(modtree, "_MOST_OFFERED", 7)
    world = World(2)
    fill(world, world.hosts[0], 150)
    fill(world, world.hosts[1], 120)
    for host in world.hosts:  # each alone, so that nothing is told but what a comparison finds
        world.start(host)
        world.run(5 * SECOND)
        world.kill(host)
    world.start()
    assert world.run(240 * SECOND, lambda: world.in_sync() and world.same())
    assert len(world.hosts[0].disk.tree()) > 150
