"""What a small change of a large file costs two stores: `python tools/benchmarks/micro/delta.py [DIRECTORY [MB]]`.

Seconds are per GiB. On a disk the wall time is mostly the disk's; the processor's is printed beside it.
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from l2sync.disk import TreeOptions
from tests.disk.conftest import Replica

T = TypeVar("T")
CHANGES = {
    "1 kB overwritten": (1, False),
    "1 kB inserted": (1, True),
    "3 times 1 kB inserted": (3, True),
    "3 times 1 kB inserted again": (3, True),
    "2 times 1 kB inserted": (2, True),
}


def step(label: str, megabytes: int, work: Callable[[], T]) -> T:
    """Do it, and print what it took."""
    wall, processor = time.perf_counter(), time.process_time()
    result = work()
    scale = 1024 / megabytes
    wall, processor = (time.perf_counter() - wall) * scale, (time.process_time() - processor) * scale
    print(f"  {label:8} {wall:6.2f} s, processor {processor:5.2f} s", flush=True)
    return result


def change(path: Path, places: int, insert: bool, rng: random.Random) -> None:
    """A kilobyte in as many places, evenly spread."""
    before = path.read_bytes()
    part = len(before) // (places + 1)
    with open(path, "wb") as file:
        for number in range(places):
            file.write(before[number * part : (number + 1) * part])
            file.write(rng.randbytes(1000))
        file.write(before[places * part + (0 if insert else 1000) :])


def main() -> None:
    """Make a file, bring it over, and each change after it."""
    where = sys.argv[1] if len(sys.argv) > 1 else "/dev/shm"
    megabytes = int(sys.argv[2]) if len(sys.argv) > 2 else 512
    rng = random.Random(1)
    with tempfile.TemporaryDirectory(dir=where) as base:
        a, b = (Replica(Path(base), name, TreeOptions()) for name in "ab")
        with open(a.root / "f", "wb") as file:
            for _ in range(megabytes):
                file.write(rng.randbytes(1 << 20))
        print("first")
        b.receive(a, step("scan", megabytes, a.scan))
        for label, (places, insert) in CHANGES.items():
            known = {chunk.hash for chunk in b.entries[b"f"].chunk_list()}
            change(a.root / "f", places, insert, rng)
            print(label)
            made = step("scan", megabytes, lambda: a.scan(b"f"))
            fresh = [chunk for chunk in made[-1].chunk_list() if chunk.hash not in known]
            print(f"  {len(fresh)} chunks are new, {sum(chunk.length for chunk in fresh) >> 10} KiB")
            key, entries = step("prepare", megabytes, lambda made=made: b.prepare(made))
            step("fetch", megabytes, lambda key=key, entries=entries: b.deliver(a, key, entries))
            step("commit", megabytes, lambda key=key, entries=entries: b.commit(key, entries))
        a.store.close()
        b.store.close()


main()
