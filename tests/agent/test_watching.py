"""A tree under watch: what happens on a real disk reaches the node, and a tree that cannot be trusted is paused."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from l2sync.agent import desk, watching
from l2sync.agent.desk import Desk
from l2sync.agent.watching import TreeWatch
from l2sync.agent.worker import Worker
from l2sync.disk import Settler, Touched, TreeOptions, TreeStore, Watcher, open_watcher
from l2sync.disk.inotify import InotifyWatcher
from l2sync.modtree import Kind, Observation, Target, TreePath, to_entry
from l2sync.node import api

from .fakes import until

MS = 1_000_000


class Tree:
    """Persists whatever is observed, as a node does."""

    def __init__(self, tmp_path: Path) -> None:
        self.root, self.state = tmp_path / "root", tmp_path / "state"
        self.root.mkdir()
        self.events: list[api.DiskEvent] = []
        self.seen: dict[bytes, Observation] = {}

    async def open(self, watcher: Callable[[], Watcher] | None = None, rescan_s: float = 0) -> TreeWatch:
        self.worker = Worker("t")
        options = TreeOptions(settle_ns=5 * MS)
        self.store = await self.worker.run(lambda: TreeStore.open("t", self.root, self.state, options, "me"))
        self.desk = Desk("t", self.store, self.worker, self.report)
        self.watch = TreeWatch(self.desk, watcher or self.watcher, Settler(5 * MS), rescan_s)
        return self.watch

    def watcher(self) -> Watcher:
        return open_watcher(self.root, self.store.ignored)

    def report(self, event: api.DiskEvent) -> None:
        self.events.append(event)
        if isinstance(event, api.Observed):
            self.seen.update({one.path: one for one in event.observations})
            entries = [to_entry(one, None, 1, n + 1, "me") for n, one in enumerate(event.observations)]
            self.worker.post(lambda: self.store.persist(entries, len(entries)), lambda result: None)

    def of(self, kind: type) -> list[api.DiskEvent]:
        return [event for event in self.events if isinstance(event, kind)]

    def whole(self) -> int:
        return sum(isinstance(event, api.Observed) and event.whole for event in self.events)


@asynccontextmanager
async def tree(tmp_path: Path, watcher: Callable[[Tree], Watcher] | None = None) -> AsyncIterator[Tree]:
    made = Tree(tmp_path)
    (made.root / "there").write_text("before")
    watch = await made.open(None if watcher is None else partial(watcher, made))
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch.run)
            await until(made.whole)
            with trio.fail_after(10):
                yield made
            nursery.cancel_scope.cancel()
    finally:
        with trio.CancelScope(shield=True):
            await made.worker.run(made.store.close)
            await made.worker.close()


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HEALTH_S", "PAUSED_S", "BLIND_S"):
        monkeypatch.setattr(watching, name, 0.01)


async def test_the_whole_tree_is_looked_at_first(tmp_path: Path):
    async with tree(tmp_path) as t:
        assert t.seen[b"there"].kind is Kind.FILE


async def test_a_new_file_a_new_directory_and_a_deletion_are_seen(tmp_path: Path):
    async with tree(tmp_path) as t:
        (t.root / "new").write_text("x")
        os.makedirs(t.root / "a/b/c")
        (t.root / "a/b/c/deep").write_text("y")
        (t.root / "there").unlink()
        await until(lambda: {b"new", b"a/b/c/deep"} <= set(t.seen) and t.seen[b"there"].kind is Kind.TOMBSTONE)


async def test_catching_up_needs_no_settling(tmp_path: Path):
    async with tree(tmp_path) as t:
        t.watch.settler._settle = t.watch.settler._most = 3600_000 * MS
        (t.root / "now").write_text("x")
        await t.watch.catch_up()  # a look that was under way may have found it already
        assert b"now" in t.seen
        assert await t.watch.catch_up() == 0


async def test_a_root_that_vanishes_pauses_the_tree_and_deletes_nothing(tmp_path: Path):
    async with tree(tmp_path) as t:
        t.root.rename(tmp_path / "away")
        await until(lambda: t.of(api.TreePaused))
        t.root.mkdir()
        await trio.sleep(0.05)
        assert t.desk.paused_reason is not None and t.seen[b"there"].kind is Kind.FILE
        t.root.rmdir()
        (tmp_path / "away").rename(t.root)
        (t.root / "meanwhile").write_text("x")
        await until(lambda: t.of(api.TreeResumed) and b"meanwhile" in t.seen)
        (t.root / "watched again").write_text("x")
        await until(lambda: b"watched again" in t.seen)
        assert t.seen[b"there"].kind is Kind.FILE


class Deaf(InotifyWatcher):
    """Hears nothing: what is found is found by looking."""

    def read_some(self) -> None:
        return None

    def read(self) -> Touched:
        super().read()
        return Touched(frozenset())


async def test_beyond_the_kernels_limit_the_tree_is_looked_at_time_and_again(tmp_path: Path):
    def exhausted(t: Tree) -> Watcher:
        watcher = Deaf(t.root)
        watcher.exhausted = True
        return watcher

    async with tree(tmp_path, exhausted) as t:
        (t.root / "unheard").write_text("x")
        await until(lambda: b"unheard" in t.seen, 5)
        (t.root / "caught up").write_text("x")
        await t.watch.catch_up()
        assert b"caught up" in t.seen


async def test_without_any_watcher_the_tree_is_looked_at_time_and_again(tmp_path: Path):
    def none(t: Tree) -> Watcher:
        raise OSError(24, "no more inotify instances")

    async with tree(tmp_path, none) as t:
        (t.root / "unheard").write_text("x")
        await until(lambda: b"unheard" in t.seen, 5)


async def test_a_tree_that_outgrows_its_way_of_watching_is_watched_in_another(tmp_path: Path):
    opened: list[Watcher] = []

    def growing(t: Tree) -> Watcher:
        watcher = InotifyWatcher(t.root, t.store.ignored, None if opened else 1)
        watcher.watch()
        opened.append(watcher)
        return watcher

    async with tree(tmp_path, growing) as t:
        assert len(opened) == 1 and t.watch.way == "inotify"
        os.makedirs(t.root / "a/b")
        await until(lambda: len(opened) == 2 and not t.watch.blind)
        (t.root / "a/b/f").write_text("x")
        await until(lambda: b"a/b/f" in t.seen)


async def test_after_an_overflow_the_whole_tree_is_looked_at(tmp_path: Path):
    class Overflowing(InotifyWatcher):
        def read_some(self) -> None:
            return None

        def read(self) -> Touched:
            super().read()
            return Touched(frozenset(), overflow=True)

    async with tree(tmp_path, lambda t: _watching(Overflowing(t.root))) as t:
        before = t.whole()
        (t.root / "lost event").write_text("x")
        await until(lambda: t.whole() > before and b"lost event" in t.seen)


async def test_disk_work_that_fails_is_answered(tmp_path: Path):
    async with tree(tmp_path) as t:
        t.root.rename(tmp_path / "away")
        entry = to_entry(t.seen[b"there"], None, 1, 9, "me")
        t.desk.carry_out(api.Prepare("t", (1, 1), (entry,), tuple(entry.chunk_list())))
        t.desk.carry_out(api.Store("t", (1, 1), ((0, b"abc"),)))
        t.desk.carry_out(api.ReadChunks("t", (1, 1), (api.ChunkRead(0, entry.path, 0, 6, b""),)))
        await until(lambda: t.of(api.ChunksRead))
        (prepared,) = t.of(api.Prepared)
        (stored,) = t.of(api.Stored)
        (read,) = t.of(api.ChunksRead)
        assert isinstance(prepared, api.Prepared) and entry.path in prepared.failed
        assert isinstance(stored, api.Stored) and stored.size == 3
        assert isinstance(read, api.ChunksRead) and read.chunks == ((0, None),)


async def test_while_a_small_batch_is_put_in_place_nothing_is_listened_to_for_a_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(watching, "_REST_S", 0.3)
    async with tree(tmp_path) as t:
        await wait_all_tasks_blocked()
        start = trio.current_time()
        t.desk.on_placing()
        (t.root / "user's").write_text("x")
        await until(lambda: b"user's" in t.seen)
        assert trio.current_time() - start >= 0.3


async def test_what_is_reported_while_a_large_batch_is_put_in_place_is_taken_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(watching, "_GATHER_S", 0.3)
    monkeypatch.setattr(desk, "_ECHO_OF_MANY", 60_000 * MS)
    drained = list[float]()
    drain = TreeWatch._drain

    async def count(watch: TreeWatch) -> None:
        drained.append(trio.current_time())
        await drain(watch)

    async with tree(tmp_path) as t:
        monkeypatch.setattr(TreeWatch, "_drain", count)
        entries = [Observation(path=TreePath(b"d/%d" % n), kind=Kind.FILE) for n in range(100)]
        targets = tuple(Target(to_entry(one, None, 1, n, "me"), None) for n, one in enumerate(entries, 1))
        start = trio.current_time()
        t.desk.carry_out(api.Commit("t", (1, 1), targets))
        assert t.desk.placing_many
        for name in ("one", "two", "three"):
            (t.root / name).write_text("x")
        await until(lambda: b"three" in t.seen)
        first, *others = drained
        assert first - start >= 0.3 and not others


def _watching(watcher: Watcher) -> Watcher:
    watcher.watch()
    return watcher


async def test_what_a_commit_of_ours_touched_is_looked_at_later(tmp_path: Path):
    """Given a commit, when the kernel tells of it, then the look at it is put off; another file's is not."""
    one = Tree(tmp_path)
    (one.root / "d").mkdir()
    watch = await one.open()
    watch.watcher = one.watcher()
    seen: dict[bytes, int] = {}
    watch.settler = SimpleNamespace(touched=lambda paths, now, rest=0: seen.update(dict.fromkeys(paths, rest)))
    entry = to_entry(Observation(path=TreePath(b"d/f"), kind=Kind.FILE), None, 1, 1, "me")
    one.desk.carry_out(api.Commit("t", (1, 1), (Target(entry, None),)))
    (one.root / "d" / "f").write_text("")
    (one.root / "g").symlink_to("f")
    await watch._drain()
    assert seen[b"d/f"] == watching._ECHO
    assert seen[b"g"] == watching._CLOSING
    watch._close_watcher()
    await one.worker.close()
