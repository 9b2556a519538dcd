"""A desk: looks that come in portions, what a commit of its own touches, and the end."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from l2sync.disk import firstlook
from l2sync.modtree import Target, TreePath, to_entry
from l2sync.node import api

from .fakes import until
from .test_watching import Tree

MS = 1_000_000


class AskingTree(Tree):
    """Asks for the next portion, as a node does."""

    def report(self, event: api.DiskEvent) -> None:
        super().report(event)
        if isinstance(event, api.Observed) and event.more:
            self.desk.carry_out(api.LookOn("t"))


async def looking_around(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ended: list[int | Exception]) -> AskingTree:
    """A tree in which a look at a new directory of twenty entries has begun; ``ended`` will hear of its end."""
    monkeypatch.setattr(firstlook, "_PORTION", 5)
    tree = AskingTree(tmp_path)
    await tree.open()
    tree.desk.scan(None)
    await until(tree.whole)
    for number in range(10):
        (tree.root / f"new/d{number}").mkdir(parents=True)
        (tree.root / f"new/d{number}/f").write_text("text")
    tree.events.clear()
    tree.desk.scan([TreePath(b"new")], ended.append)
    return tree


async def test_a_look_at_new_directories_ends_once_and_with_all_portions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[int | Exception] = []
    tree = await looking_around(tmp_path, monkeypatch, ended)
    await until(lambda: len(ended) > 0)
    assert len(tree.of(api.Observed)) > 2 and tree.whole() == 0 and len(tree.seen) == 22
    assert len(ended) == 1 and ended[0] in (21, 22) and tree.desk.scanning == 0  # with the root, or without
    await tree.worker.run(tree.store.close)
    await tree.worker.close()


async def test_a_look_at_all_takes_over_what_was_to_come_of_new_directories(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[int | Exception] = []
    tree = await looking_around(tmp_path, monkeypatch, ended)
    tree.desk.scan(None, ended.append)
    await until(lambda: len(ended) == 2)
    assert tree.whole() == 1 and len(tree.seen) == 22 and tree.desk.scanning == 0
    await tree.worker.run(tree.store.close)
    await tree.worker.close()


async def test_what_a_commit_touches_is_its_own_until_a_moment_after(tmp_path: Path) -> None:
    tree, now = Tree(tmp_path), [0]
    await tree.open()
    tree.desk.scan(None)
    await until(tree.whole)
    tree.desk._clock = lambda: now[0]
    (tree.root / "d").mkdir()
    seen = await tree.worker.run(lambda: tree.store.scan([TreePath(b"d")]))
    (tree.root / "d").rmdir()
    target = Target(entry=to_entry(seen[-1], None, 7, 1, "other"), expected=None)
    touched = [TreePath(b"d"), TreePath(b""), TreePath(b"else")]
    assert tree.desk.placed(touched) == set()
    tree.desk.carry_out(api.Commit("t", (1, 1), (target,)))
    assert tree.desk.placed(touched) == {b"d", b""}
    await until(lambda: bool(tree.of(api.Committed)))
    now[0] = 19 * MS
    assert tree.desk.placed(touched) == {b"d", b""}
    now[0] = 21 * MS
    assert tree.desk.placed(touched) == set()
    await tree.worker.run(tree.store.close)
    await tree.worker.close()


async def test_what_was_replaced_is_freed_behind_the_next_look(tmp_path: Path) -> None:
    tree, steps = Tree(tmp_path), list[str]()
    await tree.open()

    class Freeing:
        waiting = True

        def finish(self) -> None:
            steps.append("freed")
            self.waiting = False

    tree.desk.scan(None)
    await until(tree.whole)
    tree.store.freeing = Freeing()  # type: ignore[assignment]
    tree.desk.scan([TreePath(b"")], lambda result: steps.append("looked"))
    await until(lambda: len(steps) == 2)
    tree.desk.scan([TreePath(b"")], lambda result: steps.append("looked"))
    await until(lambda: len(steps) == 3)
    assert steps == ["looked", "freed", "looked"]
    await tree.worker.run(tree.store.close)
    await tree.worker.close()


async def test_a_look_that_ends_with_the_worker_frees_nothing(tmp_path: Path) -> None:
    tree, steps = Tree(tmp_path), list[str]()
    await tree.open()
    tree.store.freeing = SimpleNamespace(waiting=True, finish=lambda: steps.append("freed"))  # type: ignore[assignment]
    tree.desk.scan([TreePath(b"")], lambda result: steps.append("looked"))
    tree.desk.end()
    await tree.worker.close()
    await until(lambda: len(steps) == 1)
    assert steps == ["looked"] and tree.worker.waiting == 0
    tree.store.close()


async def test_what_ends_while_the_agent_does_asks_for_nothing_after_the_stores_end(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    await tree.open()
    (tree.root / "f").write_text("seen by the last scan")
    tree.desk.scan(None)
    tree.desk.end()
    await tree.worker.run(tree.store.close)
    await tree.worker.close()
    assert tree.events == []
