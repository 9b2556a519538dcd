"""What a commit has put in place is heard of, and is not compared with the index file by file; what a user does is."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from l2sync.disk.beneath import Beneath
from l2sync.disk.index import Index
from l2sync.disk.look import signature
from l2sync.disk.placed import Placed
from l2sync.modtree import Entry, Kind, TreePath

from .conftest import Replica

Pair = tuple[Replica, Replica]
PLACED = [b"", b"new", b"new/deep", b"new/deep/f", b"new/e", b"new/g", b"new/link", b"old", b"old/h"]


@pytest.fixture
def placed(pair: Pair) -> Pair:
    """A pair, and at the second one a commit of new directories, and of a file in one that stood there."""
    a, b = pair
    (a.root / "old").mkdir()
    b.mirror(a)
    (a.root / "new" / "deep").mkdir(parents=True)
    for name in ("new/deep/f", "new/e", "new/g", "old/h"):
        (a.root / name).write_text(name)
    os.symlink("e", a.root / "new" / "link")
    b.mirror(a)
    return a, b


def seen(b: Replica, *more: bytes) -> list[tuple[bytes, Kind]]:
    """What a look at all that the commit has touched comes to."""
    found, left = b.store.look_at([TreePath(path) for path in (*PLACED, *more)])
    assert not left
    b.take(found)
    return [(bytes(one.path), one.kind) for one in found]


def test_what_a_commit_has_made_is_compared_with_what_stat_showed_then(
    placed: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: Counter[bytes] = Counter()
    children = Index.children

    def count(index: Index, directory: TreePath) -> dict[TreePath, bytes]:
        asked[directory] += 1
        return children(index, directory)

    monkeypatch.setattr(Index, "children", count)
    _, b = placed
    assert seen(b) == [] and set(asked) == {b"", b"old"}
    assert seen(b) == [], "and as often as it is heard of"
    assert set(asked) == {b"", b"old"}


def rewritten_with_its_time(root: Path) -> None:
    before = os.stat(root / "new" / "e")
    (root / "new" / "e").write_text("e/new")
    os.utime(root / "new" / "e", ns=(before.st_atime_ns, before.st_mtime_ns))


def replaced_by_its_like(root: Path) -> None:
    shutil.copy2(root / "new" / "e", root / "new" / "x")
    (root / "new" / "x").write_text("e/new")
    os.replace(root / "new" / "x", root / "new" / "e")


DOINGS: list[tuple[Callable[[Path], object], list[bytes]]] = [
    (rewritten_with_its_time, [b"new/e"]),
    (replaced_by_its_like, [b"new", b"new/e"]),
    (lambda root: (root / "new" / "deep" / "f").unlink(), [b"new/deep", b"new/deep/f"]),
    (lambda root: (root / "new" / "mine").touch(), [b"new", b"new/mine"]),
    (lambda root: (root / "new" / "deep").chmod(0o700), [b"new/deep"]),
    (lambda root: (root / "old" / "h").write_text("mine"), [b"old/h"]),
    (lambda root: shutil.rmtree(root / "new" / "deep"), [b"new", b"new/deep", b"new/deep/f"]),
    (lambda root: (root / "new" / "g").rename(root / "old" / "g"), [b"new", b"new/g", b"old", b"old/g"]),
]


@pytest.mark.parametrize(("do", "paths"), DOINGS)
def test_whatever_a_user_does_to_it_is_found(placed: Pair, do: Callable[[Path], object], paths: list[bytes]) -> None:
    _, b = placed
    do(b.root)
    assert [path for path, _ in seen(b)] == paths
    assert b.scan() == [] == seen(b), "and nothing else was left to be found"


def test_a_file_that_has_vanished_from_a_directory_is_missed_by_whoever_looks_at_the_directory(placed: Pair) -> None:
    _, b = placed
    (b.root / "new" / "mine").touch()
    assert (b"new/mine", Kind.FILE) in seen(b)
    times = os.stat(b.root / "new").st_mtime_ns
    (b.root / "new" / "mine").unlink()
    os.utime(b.root / "new", ns=(times, times))
    assert (b"new/mine", Kind.TOMBSTONE) in seen(b), "though all that stands there was placed"


def test_a_later_commit_in_a_directory_counts_as_well(placed: Pair) -> None:
    a, b = placed
    (a.root / "new" / "late").write_text("late")
    (a.root / "new" / "g").unlink()
    b.mirror(a)
    assert seen(b, b"new/late") == []
    (b.root / "new" / "late").unlink()
    assert (b"new/late", Kind.TOMBSTONE) in seen(b, b"new/late")


@pytest.mark.parametrize("touched", [[b"new"], [b"new", b"new/e"]])
def test_a_directory_that_is_heard_of_lacks_what_is_gone(placed: Pair, touched: list[bytes]) -> None:
    _, b = placed
    (b.root / "new" / "g").unlink()
    found, _ = b.store.look_at([TreePath(path) for path in touched])
    assert [bytes(one.path) for one in found] == [b"new", b"new/g"]


@pytest.mark.parametrize("above", ["old", "new"])
def test_with_a_file_its_directory_is_looked_at(placed: Pair, above: str) -> None:
    _, b = placed
    (b.root / above).chmod(0o711)
    name = {"old": b"old/h", "new": b"new/e"}[above]
    found, _ = b.store.look_at([TreePath(name)])
    assert [bytes(one.path) for one in found] == [above.encode()]


def test_a_directory_is_listed_though_it_looks_the_same(tmp_path: Path) -> None:
    """Its times may be those of the same tick of the clock."""
    held, beneath = Placed(), Beneath(tmp_path)
    (tmp_path / "a" / "b").mkdir(parents=True)
    paths = {TreePath(b"a"), TreePath(b"a/b")}
    entries = [Entry(path=path, kind=Kind.DIR) for path in paths]

    def note() -> None:
        held.note([(one, signature(os.stat(tmp_path / os.fsdecode(one.path)))) for one in entries], {})

    note()
    assert held.unchanged(paths, beneath).paths == paths
    (tmp_path / "a" / "b" / "mine").touch()
    note()
    assert held.unchanged(paths, beneath).paths == {b"a"}
    beneath.close()


def test_only_the_last_commits_are_held() -> None:
    held = Placed()
    for commit in range(30):
        paths = [TreePath(b"d%d/%d" % (commit, number)) for number in range(1000)]
        held.note([(Entry(path=path, kind=Kind.FILE), b"sig") for path in paths], {})
    assert 9000 <= len(held) <= 10_000
