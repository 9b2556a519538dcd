"""What watching a tree costs by each way: `python tools/benchmarks/micro/watching.py [DIRECTORIES]`, as root.

The tree is made in TMPDIR, whose file system should have nothing else to do meanwhile.
"""

from __future__ import annotations

import gc
import os
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from l2sync.disk import Watcher
from l2sync.disk.fswatcher import FileSystemWatcher
from l2sync.disk.inotify import InotifyWatcher

EVENTS = 2000


def resident() -> float:
    """This process's memory in MB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE") / 1e6


def read_after(watcher: Watcher, paths: list[Path]) -> tuple[int, float]:
    """Touch the paths; how many of them are heard of, and µs of processor time for each."""
    for path in paths:
        path.touch()
    start = time.process_time()
    heard = len(watcher.read().paths)
    return heard, (time.process_time() - start) * 1e6 / len(paths)


def measure(way: type[Watcher], root: Path, elsewhere: Path) -> None:
    """Print what one way costs."""
    memory, start = resident(), time.process_time()
    watcher = way(root)
    watcher.watch()
    took = time.process_time() - start
    print(f"{way.way}: {took:.3f} s to begin, {resident() - memory:.1f} MB")
    for where in (root / "0" / "0", elsewhere):
        heard, each = read_after(watcher, [where / f"{way.way}{number}" for number in range(EVENTS)])
        print(f"  {EVENTS} events in {where.relative_to(root.parent)}: {heard} heard, {each:.1f} µs each")
    watcher.close()
    gc.collect()


def main() -> None:
    """Make the tree, and measure both ways."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    with tempfile.TemporaryDirectory() as base:
        root, elsewhere = Path(base, "root"), Path(base, "elsewhere")
        elsewhere.mkdir()
        for number in range(count):
            (root / str(number // 100) / str(number % 100)).mkdir(parents=True)
        measure(FileSystemWatcher, root, elsewhere)
        measure(InotifyWatcher, root, elsewhere)


main()
