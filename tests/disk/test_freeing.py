"""A large version that was replaced: gone at once, and freed when nobody waits."""

from __future__ import annotations

import os
import random
from collections.abc import Callable

import pytest

from l2sync.disk import freeing
from l2sync.modtree import TreePath

from .conftest import Replica, differences

Make = Callable[..., Replica]
Pair = tuple[Replica, Replica]
SIZE = 100_000


@pytest.fixture(autouse=True)
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(freeing, "_LARGE", SIZE)


def held(replica: Replica) -> int:
    """How many files without a name are held open that were in a replica's tree."""
    links = [f"/proc/self/fd/{fd}" for fd in os.listdir("/proc/self/fd")]
    targets = [os.readlink(link) for link in links if os.path.lexists(link)]
    return sum(target.startswith(str(replica.root)) and target.endswith(" (deleted)") for target in targets)


def replace(a: Replica, b: Replica, name: str = "f", size: int = SIZE) -> None:
    (a.root / name).write_bytes(random.Random(name).randbytes(size))
    b.mirror(a)
    (a.root / name).write_bytes(random.Random(2).randbytes(size))
    b.mirror(a)


def test_the_commit_shows_the_new_version_and_frees_nothing_large(pair: Pair) -> None:
    a, b = pair
    replace(a, b)
    assert differences(a, b) == []
    assert held(b) == 1 and b.store.freeing.waiting
    b.store.freeing.finish()
    assert held(b) == 0 and not b.store.freeing.waiting


def test_what_is_removed_is_freed_later_too(pair: Pair) -> None:
    a, b = pair
    (a.root / "f").write_bytes(bytes(range(250)) * 400)
    b.mirror(a)
    (a.root / "f").unlink()
    b.mirror(a)
    assert differences(a, b) == [] and held(b) == 1


def test_a_small_file_is_freed_at_once(pair: Pair) -> None:
    replace(*pair, size=SIZE - 1)
    assert held(pair[1]) == 0


@pytest.mark.parametrize("verb", ["prepare", "store", "commit", "health", "close"])
def test_whatever_may_need_the_room_frees_it_first(replica: Make, verb: str) -> None:
    a, b = replica("a"), replica("b")
    b.scan()
    replace(a, b)
    assert held(b) == 1
    if verb == "health":
        b.store.health()
    elif verb == "close":
        b.reopen()
    elif verb == "prepare":
        b.store.prepare((1, 1), [], [])
    elif verb == "store":
        b.store.store((1, 1), [])
    else:
        b.store.commit((1, 1), [])
    assert held(b) == 0


def test_a_kept_version_is_not_held(replica: Make) -> None:
    a, b = replica("a"), replica("b", keep_versions_ns=1 << 60, keep_versions_bytes=1 << 30)
    b.scan()
    replace(a, b)
    assert held(b) == 0 and len(b.store.versions(TreePath(b"f"))) == 1


def test_no_more_are_held_than_a_few(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(freeing, "_MOST", 2)
    a, b = pair
    for number in range(4):
        (a.root / f"f{number}").write_bytes(random.Random(number).randbytes(SIZE))
    b.mirror(a)
    for number in range(4):
        (a.root / f"f{number}").unlink()
    b.mirror(a)
    assert differences(a, b) == [] and held(b) == 2
