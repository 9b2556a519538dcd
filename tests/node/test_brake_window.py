"""What counts within the brake's window: each path once, and only what was there when the window began."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from l2sync.modtree import Entry, Kind, ModTree, Observation, TreePath, VersionVector
from l2sync.node import lately
from l2sync.node.brake import LEAST, Brake, losses
from l2sync.node.lately import WINDOW

S = 1_000_000_000


class Given:
    """A tree of so many files, and its brake, at 50 per cent."""

    def __init__(self, files: int) -> None:
        self.tree, self.brake = ModTree(), Brake(50)
        self.old = named(b"old", files)
        self._put(self.old, Kind.FILE)

    def _put(self, paths: Iterable[TreePath], kind: Kind) -> None:
        for path in paths:
            self.tree.put(Entry(path=path, kind=kind, version=VersionVector(((1, 1),)), dot=(1, 1)))

    def make(self, paths: list[TreePath], now: int) -> None:
        self.brake.born(paths, now)
        self._put(paths, Kind.FILE)

    def delete(self, paths: list[TreePath], now: int) -> str:
        """Empty when they may go; then they have."""
        loss = self.brake.judge(self.tree, gone(paths), now)
        if loss is not None:
            return str(loss)
        self._put(paths, Kind.TOMBSTONE)
        return ""


def named(prefix: bytes, count: int) -> list[TreePath]:
    return [TreePath(prefix + b"%d" % number) for number in range(count)]


def gone(paths: Iterable[TreePath]) -> list[Observation]:
    return [Observation(path=path, kind=Kind.TOMBSTONE) for path in paths]


def test_what_is_made_and_deleted_within_the_window_does_not_add_up() -> None:
    given = Given(1000)
    for round_ in range(50):
        temporary = named(b"t%d-" % round_, 100)
        given.make(temporary, round_ * S)
        assert not given.brake.doubts(given.tree, gone(temporary), round_ * S)
        assert given.delete(temporary, round_ * S) == ""
    assert given.delete(given.old[:400], 50 * S) == "", "with the first hundred, not half of what there was"
    assert given.delete(given.old[400:460], 51 * S).startswith("60 of 600 entries have vanished")


def test_what_goes_at_once_counts_however_young_it_is() -> None:
    given = Given(10)
    made = named(b"f", 100)
    given.make(made, 0)
    assert given.delete(made, S).startswith("100 of 110 entries have vanished")


def test_what_is_young_and_goes_bit_by_bit_counts() -> None:
    given = Given(0)
    made = named(b"f", 100)
    given.make(made, 0)
    held = [given.delete([path], number * S // 10) for number, path in enumerate(made)]
    assert held[50].startswith("1 of 50 entries") and not any(held[:50])


def test_what_was_made_since_the_window_began_does_not_count_and_later_does() -> None:
    for later in (2 * S, WINDOW + S):
        given = Given(100)
        assert given.delete(given.old[:1], 0) == ""
        given.make(made := named(b"f", 150), S)
        assert given.delete(made[:100], later) == ""
        assert bool(given.delete(made[100:], later + S)) == (later > WINDOW)


def test_a_path_that_goes_and_comes_back_is_not_lost() -> None:
    given = Given(100)
    for second in range(20):
        assert given.delete(given.old[:30], second * S) == ""
        given.make(given.old[:30], second * S)
    assert given.delete(given.old[:50], 21 * S) == ""
    assert given.delete(given.old[50:60], 22 * S) != ""


def test_a_path_told_twice_counts_once() -> None:
    given = Given(100)
    assert len(losses(given.tree, gone(given.old[:10] * 10)).vanished) == 10
    assert given.delete(given.old[:10] * 10, 0) == ""


def test_what_is_new_does_not_hide_how_much_of_the_old_goes() -> None:
    given = Given(LEAST)
    given.delete(given.old[:1], 0)
    given.make(named(b"new", 1000), 1)
    assert given.delete(given.old[1:], S) != ""


def test_more_new_paths_than_are_remembered_are_no_harm_but_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lately, "_REMEMBERED", 65)
    given = Given(10)
    many = named(b"f", 70)
    given.delete(given.old[:1], 0)
    given.make(many, 0)
    assert given.delete(many[:30], S) == ""
    assert given.delete(many[30:50], 2 * S) == "", "remembered, as the first were"
    given.make(more := named(b"g", 200), 3 * S)
    assert given.delete(more[:100], 4 * S) == "" != given.delete(more[100:], 5 * S)
