"""What small files cost a receiver, step by step: `python tools/benchmarks/micro/smallfiles.py [DIRECTORY [FILES]]`.

Processor time, frames left out. The bench's tree of small files is scanned by one store and taken over by another, in
one process, batch by batch.
"""

from __future__ import annotations

import shutil
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from benchmarks.trees import make_tree

from l2sync.agent.memory import tame_collector
from l2sync.disk import TreeOptions, TreeStore
from l2sync.disk.inotify import InotifyWatcher
from l2sync.modtree import ROOT, Entry, ModTree, Observation, pack_entry, to_entry, unpack_entry
from l2sync.node.plan import make_plan
from l2sync.transfer import chunk_table

_BATCH = 2000
_AT_ONCE = 2 << 20
T = TypeVar("T")


class Clock:
    """Adds up processor time by step."""

    def __init__(self) -> None:
        self.spent: Counter[str] = Counter()

    def __call__(self, step: str, work: Callable[[], T]) -> T:
        begin = time.thread_time_ns()
        result = work()
        self.spent[step] += time.thread_time_ns() - begin
        return result


def opened(base: Path, name: str) -> TreeStore:
    """A new store, its root known."""
    for part in (base / name, base / f"state-{name}" / "trees"):
        part.mkdir(parents=True)
    store = TreeStore.open("t", base / name, base / f"state-{name}", TreeOptions(), name)
    seen = store.scan(None)
    store.persist([to_entry(one, None, store.replica, 1, name) for one in seen], 1)
    return store


def runs(chunks: Sequence[tuple[int, bytes | None]]) -> Iterator[list[tuple[int, bytes]]]:
    """Chunks as a receiver hands them to its disk."""
    run, size = list[tuple[int, bytes]](), 0
    for number, data in chunks:
        assert data is not None
        run.append((number, data))
        size += len(data)
        if size >= _AT_ONCE:
            yield run
            run, size = [], 0
    yield run


def looked_at(store: TreeStore) -> list[Observation]:
    """What is new in all of a tree, as the agent looks at it."""
    found, more = store.look_at([ROOT])
    while more:
        next_ones, more = store.look_on(False)
        found += next_ones
    return found


def take(
    clock: Clock, key: tuple[int, int], batch: list[Entry], origin: TreeStore, store: TreeStore, tree: ModTree
) -> None:
    """One batch's way into a store and a tree."""
    table = chunk_table(batch)
    missing = clock("prepare", lambda: store.prepare(key, batch, table.chunks)).missing
    places = [(number, *table.where(number)) for number in missing]
    wanted = [(n, batch[at].path, offset, table.chunks[n].length, table.chunks[n].hash) for n, at, offset in places]
    for run in runs(clock("origin: read", lambda: origin.read_chunks(wanted))):
        clock("store", lambda: store.store(key, run))  # noqa: B023 - called at once
    plan = clock("plan", lambda: make_plan(tree, batch, store.replica, lambda: 1, "b").as_targets())
    result = clock("commit", lambda: store.commit(key, plan))
    assert len(result.applied) == len(batch), (result.changed, result.failed)
    clock("adopt", lambda: [tree.put(entry) for entry in result.applied])
    clock("digest", lambda: tree.root_digest)


def main() -> None:
    base = Path(sys.argv[1] if len(sys.argv) > 1 else "/dev/shm") / "l2sync-smallfiles"
    files = int(sys.argv[2]) if len(sys.argv) > 2 else 10_000
    clock, tree = Clock(), ModTree()
    tame_collector()
    try:
        origin, store = opened(base, "a"), opened(base, "b")
        watcher = InotifyWatcher(base / "b")
        watcher.watch()
        make_tree(base / "a" / "tree", files, max(1, files * 800 // 10_000), 10_000, 2)
        seen = [one for one in clock("origin: scan", lambda: looked_at(origin)) if one.path]
        entries = [to_entry(one, None, origin.replica, number, "a") for number, one in enumerate(seen, 2)]
        packed = clock("origin: pack", lambda: [pack_entry(entry) for entry in entries])
        told = clock("unpack", lambda: [unpack_entry(one)[0] for one in packed])
        for number, at in enumerate(range(0, len(told), _BATCH), 1):
            take(clock, (7, number), told[at : at + _BATCH], origin, store, tree)
        touched = clock("hear of it", lambda: watcher.read().paths)
        clock("look at it", lambda: store.look_at(touched))
        for closing in (origin, store, watcher):
            closing.close()
        for step, spent in clock.spent.items():
            print(f"{step:14} {spent / 1e3 / len(told):6.1f} µs an entry")
        all_of_it = sum(spent for step, spent in clock.spent.items() if not step.startswith("origin"))
        print(f"a receiver, in all: {all_of_it / 1e9:.2f} s for {len(told)} entries")
    finally:
        shutil.rmtree(base, ignore_errors=True)


if __name__ == "__main__":
    main()
