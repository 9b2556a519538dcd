"""Names that change hands: kinds that change, names that differ in case only, cycles, exchanges, moved directories."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from itertools import permutations
from pathlib import Path

import pytest

from l2sync.disk import open_watcher
from l2sync.disk.beneath import RENAME_EXCHANGE, rename_beneath

from .conftest import Replica, differences

pytestmark = pytest.mark.root
Pair = tuple[Replica, Replica]


@pytest.fixture(params=["inotify", "fanotify"])
def heard(pair: Pair, request: pytest.FixtureRequest) -> Iterator[Callable[[], frozenset[bytes]]]:
    """What the kernel tells of A since the last call."""
    watcher = open_watcher(pair[0].root, lambda path: False, request.param)

    def read() -> frozenset[bytes]:
        paths = watcher.read().paths
        assert paths, "nothing was heard"
        return paths

    yield read
    watcher.close()


def arrives(a: Replica, b: Replica, *paths: bytes) -> None:
    result = b.receive(a, a.scan(*paths))
    assert not result.failed and not result.changed
    assert differences(a, b) == []
    assert a.store.scan(None) == b.store.scan(None) == []


def exchange(one: Path, other: Path) -> None:
    rename_beneath(os.fsencode(one), -1, os.fsencode(other), -1, RENAME_EXCHANGE)


def directory(path: Path) -> None:
    (path / "in").mkdir(parents=True)
    (path / "in" / "f").write_text(path.name)


def link(path: Path) -> None:
    path.symlink_to("in/f")


def file(path: Path) -> None:
    path.write_text(path.name)


KINDS: dict[str, Callable[[Path], None]] = {"file": file, "directory": directory, "link": link}


@pytest.mark.parametrize(("before", "after"), list(permutations(KINDS, 2)))
def test_what_was_one_kind_is_another(pair: Pair, before: str, after: str) -> None:
    a, b = pair
    KINDS[before](a.root / "x")
    KINDS[after](a.root / "y")
    arrives(a, b)
    os.rename(a.root / "x", a.root / "t")
    os.rename(a.root / "y", a.root / "x")
    os.rename(a.root / "t", a.root / "y")
    arrives(a, b)
    assert b.missing == []
    exchange(a.root / "x", a.root / "y")
    arrives(a, b, b"x", b"y")
    assert b.missing == []


Heard = Callable[[], frozenset[bytes]]


@pytest.mark.parametrize("kind", KINDS)
def test_names_go_round_in_a_cycle(pair: Pair, heard: Heard, kind: str) -> None:
    a, b = pair
    for one in "abc":
        KINDS[kind](a.root / one)
    arrives(a, b)
    for old, new in (("c", "t"), ("b", "c"), ("a", "b"), ("t", "a")):
        os.rename(a.root / old, a.root / new)
    arrives(a, b, *heard())
    assert b.missing == []


def test_directories_that_were_exchanged_are_heard_of_under_their_new_names(pair: Pair, heard: Heard) -> None:
    a, b = pair
    directory(a.root / "x")
    directory(a.root / "y")
    arrives(a, b)
    exchange(a.root / "x", a.root / "y")
    arrives(a, b, *heard())
    for path in ("x/in/new", "y/in/new", "x/new", "y/new"):
        (a.root / path).write_text(path)
        arrives(a, b, *heard())


def test_two_files_are_exchanged_in_one_step(pair: Pair) -> None:
    a, b = pair
    (a.root / "d").mkdir()
    (a.root / "x").write_text("one")
    (a.root / "d" / "y").write_text("two, longer")
    arrives(a, b)
    inodes = {os.stat(b.root / name).st_ino for name in ("x", "d/y")}
    exchange(a.root / "x", a.root / "d" / "y")
    arrives(a, b, b"x", b"d/y")
    assert b.missing == [] and (b.root / "x").read_text() == "two, longer"
    assert {os.stat(b.root / name).st_ino for name in ("x", "d/y")} == inodes


def test_names_that_differ_in_case_only_are_names_of_their_own(pair: Pair) -> None:
    a, b = pair
    directory(a.root / "Name")
    file(a.root / "name")
    arrives(a, b)
    os.rename(a.root / "Name", a.root / "NAME")
    os.rename(a.root / "name", a.root / "Name")
    arrives(a, b)
    assert b.missing == [] and sorted(os.listdir(b.root)) == [".l2sync", "NAME", "Name"]
    exchange(a.root / "NAME", a.root / "Name")
    arrives(a, b, b"NAME", b"Name")


def test_a_directory_moves_into_its_neighbour_and_the_neighbour_into_it(pair: Pair) -> None:
    a, b = pair
    directory(a.root / "d")
    directory(a.root / "e")
    arrives(a, b)
    os.rename(a.root / "d", a.root / "e" / "d")
    (a.root / "e" / "d" / "in" / "f").write_text("edited on the way")
    arrives(a, b, b"d", b"e/d")
    os.rename(a.root / "e" / "d", a.root / "d")
    os.rename(a.root / "e", a.root / "d" / "in" / "e")
    arrives(a, b)
    assert b.missing == [] and (b.root / "d/in/f").read_text() == "edited on the way"


def test_a_directory_that_moves_away_leaves_behind_what_was_edited_here_meanwhile(pair: Pair) -> None:
    a, b = pair
    directory(a.root / "d")
    (a.root / "d" / "g").write_text("g")
    (a.root / "e").mkdir()
    arrives(a, b)
    os.rename(a.root / "d", a.root / "e" / "d")
    (b.root / "d" / "in" / "f").write_text("edited here")
    result = b.mirror(a)
    assert set(result.changed) == {b"d", b"d/in", b"d/in/f"} and not result.failed
    assert (b.root / "d/in/f").read_text() == "edited here" and not (b.root / "d/g").exists()
    assert (b.root / "e/d/in/f").read_text() == "d" and (b.root / "e/d/g").read_text() == "g"
