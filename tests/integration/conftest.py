"""Places and trees for real agents."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .cluster import Cluster

_SOURCES = ("/usr/share/doc", "/usr/include", "/usr/share/perl", "/usr/lib/python3", "/usr/lib/gcc")
WANTED = 10_000
_MOST_BYTES = 250 << 20


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory in memory, so that the disk's mood does not matter."""
    made = Path(tempfile.mkdtemp(prefix="l2s-test-", dir="/dev/shm"))
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture
def cluster(place: Path) -> Iterator[Callable[[int], Cluster]]:
    """Makes clusters, and removes them."""
    made: list[Cluster] = []

    def make(hosts: int) -> Cluster:
        made.append(Cluster(hosts, place))
        return made[-1].__enter__()

    yield make
    for one in made:
        one.__exit__(None, None, None)


@pytest.fixture(scope="session")
def large_tree() -> Iterator[Path]:
    """Ten thousand entries and more of this machine's own files."""
    made = Path(tempfile.mkdtemp(prefix="l2s-tree-", dir="/dev/shm"))
    count = size = 0
    for source in _SOURCES:
        for folder, _, files in os.walk(source):
            target = made / folder.lstrip("/")
            target.mkdir(parents=True, exist_ok=True)
            for file in files:
                path = Path(folder, file)
                if not path.is_symlink() and (not path.is_file() or path.stat().st_size > 1 << 20):
                    continue
                shutil.copy2(path, target / file, follow_symlinks=False)
                count, size = count + 1, size + path.lstat().st_size
            if count >= WANTED or size > _MOST_BYTES:
                break
    number = 0
    while count < WANTED:
        part = made / f"made/{number // 100}"
        part.mkdir(parents=True, exist_ok=True)
        (part / f"{number}.txt").write_text(f"file {number}\n" * (number % 50))
        number, count = number + 1, count + 1
    yield made
    shutil.rmtree(made, ignore_errors=True)
