"""Whole nodes on the simulated segment: joining, convergence, conflicts, deaths, partitions, loss."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from random import Random

import pytest

from l2sync.frames import MORE_FOLLOWS, Kind
from l2sync.link import Rules
from l2sync.modtree import Entry, tree_path
from l2sync.node import offering, outgoing
from l2sync.node.api import Observed, Persist

from .world import MS, SECOND, Host, World


def settled(world: World, seconds: int = 30) -> None:
    """Run until everybody says in sync and the disks are the same; explain if not."""
    good = world.run(seconds * SECOND, lambda: world.in_sync() and world.same())
    if not good:
        told = "\n".join(
            f"{h.name}: {h.node.status(world.now).reasons} {sorted(h.disk.tree())[:30]}"
            for h in world.running()
            if h.node
        )
        raise AssertionError(f"not in sync after {seconds} s:\n{told}")


def contents(host: Host) -> dict[bytes, bytes]:
    """Files and their bytes."""
    return {path: node[1] for path, node in host.disk.tree().items() if node[0].name == "FILE"}  # type: ignore


def started(hosts: int, seed: int = 1, rules: Rules | None = None) -> World:
    world = World(hosts, seed, rules)
    world.start()
    settled(world)
    return world


def test_an_empty_node_takes_over_what_another_has() -> None:
    world = World(2)
    world.hosts[0].disk.write(b"site/index.html", b"x" * 300_000, 5)
    world.start()
    settled(world)
    assert contents(world.hosts[1]) == {b"site/index.html": b"x" * 300_000}


def test_disjoint_trees_become_their_union_on_every_node() -> None:
    world = World(3)
    for host in world.hosts:
        host.disk.write(b"of/%s" % host.name.encode(), host.name.encode() * 1000, 7)
    world.start()
    settled(world)
    assert len(contents(world.hosts[0])) == 3


def test_a_small_change_waits_nowhere_for_another_nodes_slow_disk() -> None:
    # Given a receiver whose disk takes long to say what it lacks
    world = started(3)
    world.hosts[2].slow = 300 * MS
    # When a little is written
    world.write(world.hosts[0], b"note", b"a line")
    # Then the others have it before that disk has answered, and that one a while later
    assert world.run(200 * MS, lambda: b"note" in contents(world.hosts[1]))
    settled(world)
    assert contents(world.hosts[2]) == {b"note": b"a line"}


def test_what_comes_while_a_receivers_disk_is_busy_is_not_lost() -> None:
    # Given a receiver whose disk says late what it lacks
    world = started(3)
    world.hosts[2].slow = 100 * MS
    # When another asks at once, and gets more than a few frames
    content = Random(1).randbytes(1_400_000)
    world.write(world.hosts[0], b"video", content)
    settled(world)
    # Then hardly anything went out twice
    assert world.hosts[0].node is not None
    assert world.hosts[0].node.counters["frames_out_data"] < 1.05 * len(content) / 1400
    assert contents(world.hosts[2]) == {b"video": content}


@pytest.mark.slow
def test_a_scan_that_finds_very_much_is_versioned_in_portions_before_it_counts_as_scanned() -> None:
    world = World(2)
    a = world.hosts[0]
    for i in range(2500):
        a.disk.write(b"many/%d" % i, b"", 7)
    portions, handle = [], a.disk.handle

    def watched(effect: object) -> object:
        if isinstance(effect, Persist):
            portions.append(len(effect.entries))
            assert a.node is not None
            assert a.node.trees["www"].scanned == (sum(portions) >= 2502)
        return handle(effect)

    a.disk.handle = watched  # type: ignore[assignment]
    world.start()
    settled(world)
    assert max(portions) <= 1000 and len(contents(world.hosts[1])) == 2500


def test_edits_renames_and_deletions_on_three_nodes_at_once_reach_all() -> None:
    world = World(3)
    a, b, c = world.hosts
    for i in range(20):
        a.disk.write(b"d/f%d" % i, b"old %d" % i * 100, 3)
    world.start()
    settled(world)
    world.write(a, b"d/f1", b"new")
    world.rename(b, b"d/f2", b"e/moved")
    world.delete(c, b"d/f3")
    world.run(3 * SECOND)
    settled(world)
    files = contents(a)
    assert files[b"d/f1"] == b"new"
    assert files[b"e/moved"] == b"old 2" * 100 and b"d/f2" not in files and b"d/f3" not in files
    assert not any(b"conflict" in path for path in files)


def test_a_rename_of_a_large_file_sends_no_content() -> None:
    world = World(2)
    a = world.hosts[0]
    a.disk.write(b"big", Random(1).randbytes(2_000_000), 3)
    world.start()
    settled(world)
    assert a.node is not None
    before = a.node.counters["frames_out_data"]
    world.rename(a, b"big", b"bigger")
    world.run(2 * SECOND)
    settled(world)
    assert b"bigger" in contents(world.hosts[1]) and a.node.counters["frames_out_data"] == before


def test_data_frames_do_not_grow_with_the_number_of_receivers() -> None:
    sent = {}
    for receivers in (1, 6):
        world = World(receivers + 1)
        world.hosts[0].disk.write(b"big", Random(1).randbytes(1_000_000), 3)
        world.start()
        settled(world)
        sent[receivers] = sum(h.node.counters["frames_out_data"] for h in world.hosts if h.node)
    assert sent[6] <= sent[1] * 1.01
    assert sent[1] * 1440 < 1_000_000 * 1.03


def test_concurrent_edits_in_a_partition_keep_both_on_every_node() -> None:
    world = World(3)
    a, b, _ = world.hosts
    a.disk.write(b"page.html", b"first", 3)
    world.start()
    settled(world)
    world.segment.partition([a.port], [b.port, world.hosts[2].port])
    world.run(5 * SECOND)
    world.write(a, b"page.html", b"from a")
    world.run(SECOND)
    world.write(b, b"page.html", b"from b")
    world.run(5 * SECOND)
    world.segment.heal()
    world.run(5 * SECOND)
    settled(world)
    files = contents(a)
    assert sorted(files.values()) == [b"from a", b"from b"]
    copy = next(path for path in files if path != b"page.html")
    assert copy.startswith(b"page.conflict-web") and copy.endswith(b".html")


def test_an_edit_beats_a_deletion_made_meanwhile() -> None:
    world = World(2)
    a, b = world.hosts
    a.disk.write(b"d/keep", b"one", 3)
    world.start()
    settled(world)
    world.segment.partition([a.port], [b.port])
    world.run(5 * SECOND)
    world.delete(a, b"d")
    world.write(b, b"d/keep", b"two")
    world.run(2 * SECOND)
    world.segment.heal()
    world.run(5 * SECOND)
    settled(world)
    assert contents(a) == {b"d/keep": b"two"}


def test_a_deleted_file_does_not_come_back_with_a_node_that_was_away() -> None:
    world = World(3)
    a, b, c = world.hosts
    a.disk.write(b"gone", b"x", 3)
    world.start()
    settled(world)
    world.kill(c)
    world.run(5 * SECOND)
    world.delete(b, b"gone")
    settled(world)
    world.start(c)
    world.run(SECOND)
    settled(world)
    assert contents(a) == {} == contents(c)


def test_a_lost_state_directory_makes_no_conflicts_of_equal_files() -> None:
    world = World(2)
    a, b = world.hosts
    for i in range(10):
        a.disk.write(b"f%d" % i, b"data %d" % i, 3)
    world.start()
    settled(world)
    world.kill(b)
    b.disk.index.clear()
    b.disk.counter, b.disk.replica = 0, 12345
    b.registry = {}
    world.start(b)
    settled(world)
    assert len(contents(a)) == 10
    assert b.node is not None and a.node is not None and b.node.cluster.id == 1


def test_a_returning_node_gets_its_old_id() -> None:
    world = started(3)
    ids = {host.name: host.node.cluster.id for host in world.hosts if host.node}
    host = world.hosts[1]
    world.kill(host)
    world.run(5 * SECOND)
    host.registry = {}
    world.start(host)
    settled(world)
    assert host.node is not None and host.node.cluster.id == ids[host.name]


@pytest.mark.slow
def test_fifty_nodes_join_at_once_under_different_ids() -> None:
    world = World(50, seed=3)
    world.start()
    assert world.run(20 * SECOND, world.joined)
    assert {h.node.cluster.id for h in world.hosts if h.node} == set(range(50))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_everything_arrives_in_spite_of_loss_doubling_and_disorder(seed: int) -> None:
    rules = Rules(loss=0.2, duplication=0.05, jitter=3 * MS)
    world = World(4, seed, rules)
    world.hosts[0].disk.write(b"big", Random(seed).randbytes(800_000), 3)
    world.start()
    world.run(5 * SECOND)
    for host in world.hosts:
        world.write(host, b"f/%s" % host.name.encode(), host.name.encode() * 500)
    settled(world, 120)
    assert len(contents(world.hosts[3])) == 5


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "victim"),
    [(kind, 0) for kind in (Kind.LOCK, Kind.UPDTREE, Kind.DATA, Kind.UNLOCKALL, Kind.ACK)]
    + [(kind, 1) for kind in (Kind.WANT, Kind.DONE, Kind.REPAIR, Kind.ACK)],
)
def test_a_node_that_dies_at_any_step_of_a_batch_holds_nobody_up(kind: Kind, victim: int) -> None:
    world = World(3, seed=int(kind))
    a, _, c = world.hosts
    a.disk.write(b"old", b"old", 1)
    world.start()
    settled(world)
    host = world.hosts[victim]
    died = []

    def watch(source: int, receiver: int, payload: bytes) -> bool:
        if payload[3] & ~MORE_FOLLOWS == kind and source == host.port and not died:
            died.append(world.now)
        return bool(died) and source == host.port

    world.segment.drop_when = watch
    world.write(a, b"d/new", Random(2).randbytes(1_200_000))
    world.run(3 * SECOND, lambda: bool(died))
    assert died
    world.kill(host)
    world.segment.drop_when = None
    world.run(6 * SECOND)
    settled(world)
    world.write(c, b"after", b"after")
    settled(world)
    world.start(host)
    world.run(SECOND)
    settled(world)
    assert {b"old", b"d/new", b"after"} <= set(contents(c))
    assert not any(b"conflict" in path for path in contents(c))


@pytest.mark.slow
def test_a_receiver_that_dies_within_a_large_file_does_not_stop_the_rest() -> None:
    world = World(4, 1, Rules(rate=1_000_000_000))
    a, _, _, d = world.hosts
    world.start()
    settled(world)
    world.write(a, b"big", Random(1).randbytes(8_000_000))
    node = a.node
    assert node is not None
    assert world.run(5 * SECOND, lambda: node.counters["frames_out_data"] > 2500)
    world.kill(d)
    settled(world)


def test_a_deadline_stands_however_often_it_is_asked_for() -> None:
    world = World(4, 1, Rules(rate=1_000_000_000))
    a = world.hosts[0]
    world.start()
    settled(world)
    world.write(a, b"big", Random(1).randbytes(4_000_000))
    for _ in range(300):
        world.run(3 * MS)
        for host in world.hosts:
            assert host.node is not None
            asked = host.node.next_deadline(world.now)
            assert asked == host.node.next_deadline(world.now + 40 * MS)


def test_a_second_node_of_the_same_name_is_refused() -> None:
    world = started(2)
    twin = world.add()
    twin.name = "web0"
    world.start(twin)
    world.run(3 * SECOND)
    assert twin.node is not None and twin.node.refused is not None and "web0" in twin.node.refused
    world.kill(twin)
    settled(world)


def test_a_quick_restart_is_no_second_node() -> None:
    world = started(3)
    host = world.hosts[2]
    world.kill(host)
    world.start(host)
    world.run(4 * SECOND)
    settled(world)
    assert host.node is not None and host.node.refused is None


def test_a_receiver_whose_generation_the_origin_has_closed_gets_its_chunks_all_the_same() -> None:
    world = World(3, 1, Rules(rate=1_000_000_000))
    a, b, _ = world.hosts
    world.start()
    settled(world)
    world.write(a, b"big", Random(1).randbytes(1_000_000))
    node = a.node
    assert node is not None
    assert world.run(5 * SECOND, lambda: node.counters["frames_out_data"] > 200)
    batch = next(iter(node.offering.batches.values()))
    for peer in list(batch.audience):
        batch.broadcaster.forget(peer)
    batch.broadcaster._open.clear()
    batch.broadcaster._in_open.clear()
    settled(world)
    assert contents(b)[b"big"] == Random(1).randbytes(1_000_000)


def _told(world: World) -> int:
    """Bytes of updtree that the first host has sent."""
    node = world.hosts[0].node
    assert node is not None
    return node.counters["bytes_out_updtree"]


def test_a_change_in_a_large_file_is_told_in_little_and_so_is_its_new_name() -> None:
    world = World(3)
    a, data = world.hosts[0], Random(2).randbytes(4_000_000)
    world.write(a, b"big", data)
    world.start()
    settled(world)
    before = _told(world)
    world.write(a, b"big", data[:2_000_000] + b"changed" + data[2_000_007:])
    world.run(SECOND)
    settled(world)
    assert _told(world) - before < 600
    world.rename(a, b"big", b"large")
    world.run(SECOND)
    settled(world)
    assert _told(world) - before < 1300
    assert contents(world.hosts[2]) == {b"large": data[:2_000_000] + b"changed" + data[2_000_007:]}


def test_who_lacks_what_an_entry_is_told_as_a_change_of_gets_it_in_full() -> None:
    """Given a node that cannot put a file in place, when the file is changed, then it gets it once it can."""
    world = World(3)
    a, _, c = world.hosts
    data = Random(3).randbytes(4_000_000)
    c.disk.cannot_apply[tree_path(b"big")] = "immutable"
    world.write(a, b"big", data)
    world.start()
    world.run(3 * SECOND)
    world.write(a, b"big", data[:2_000_000] + b"changed" + data[2_000_007:])
    world.run(3 * SECOND)
    assert c.node is not None and c.node.counters["batches_without_base"] == 1
    c.disk.cannot_apply.clear()
    settled(world, 60)
    assert contents(c) == contents(a) != {}


@pytest.mark.parametrize(
    ("files", "more", "sizes"), [(45, False, [20, 13, 6, 4, 2]), (45, True, [20, 20, 5]), (20, False, [20])]
)
def test_of_many_changes_the_last_batches_are_small(
    files: int, more: bool, sizes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given more than a batch takes, the last of many is soon committed: nothing else fills the wire by then.

    Of a look that has ``more`` to tell these are not the last.
    """
    monkeypatch.setattr(offering, "_LEAST_OF_MANY", 4)
    world = World(2)
    world.start()
    settled(world)
    a, batches = world.hosts[0], list[int]()
    assert a.node is not None
    a.node.ctx.settings = replace(a.node.ctx.settings, batch_entries=20)
    real = outgoing.choose

    def chosen(*args: object) -> tuple[list[Entry], bool]:
        entries, fresh = real(*args)  # type: ignore[arg-type]
        batches.append(len(entries))
        return entries, fresh

    monkeypatch.setattr(offering, "choose", chosen)
    paths = [b"f%d" % number for number in range(files)]
    for path in paths:
        a.disk.write(path, path, 3)
    with monkeypatch.context() as patch:
        patch.setattr("tests.simulation.world.Observed", partial(Observed, more=more))
        world.touch(a, *(tree_path(path) for path in paths))
        world.run(SECOND)
    settled(world)
    assert batches == sizes


def test_what_is_moved_goes_with_its_old_place_however_large_it_is() -> None:
    """Given more than a batch holds, when it is renamed, then no batch has a file without the place that it left."""
    world = World(2)
    a = world.hosts[0]
    for i in range(12):
        a.disk.write(b"old/f%d" % i, Random(i).randbytes(200_000), 3)
    world.start()
    settled(world)
    assert a.node is not None
    a.node.ctx.settings = replace(a.node.ctx.settings, batch_bytes=500_000, batch_entries=7)
    real, batches = outgoing.choose, list[list[Entry]]()
    with pytest.MonkeyPatch.context() as patch:

        def chosen(*args: object) -> tuple[list[Entry], bool]:
            entries, fresh = real(*args)  # type: ignore[arg-type]
            batches.append(entries)
            return entries, fresh

        patch.setattr("l2sync.node.offering.choose", chosen)
        world.rename(a, b"old", b"new")
        world.run(SECOND)
        settled(world)
    assert len(batches) > 2 and b"new/f11" in contents(world.hosts[1])
    for entries in batches:
        paths = {entry.path for entry in entries}
        moved = {path for path in paths if path.startswith(b"new/")}
        assert all(b"old/" + path[4:] in paths for path in moved)
