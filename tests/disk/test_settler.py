"""When a touched path is looked at: once it is quiet, and not too late."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from l2sync.disk import Settler
from l2sync.modtree import TreePath

MS = 1_000_000


def test_a_path_settles_once_nothing_touches_it() -> None:
    settler = Settler(50 * MS, 2000 * MS)
    settler.touched([TreePath(b"f")], 0)
    settler.touched([TreePath(b"f")], 40 * MS)
    assert settler.due(60 * MS) == []
    assert settler.next_deadline() == 90 * MS
    assert settler.due(90 * MS) == [b"f"]
    assert settler.next_deadline() is None


def test_a_path_written_without_end_is_due_in_the_end() -> None:
    settler = Settler(50 * MS, 2000 * MS)
    now = 0
    while not settler.due(now):
        settler.touched([TreePath(b"f")], now)
        now += 10 * MS
    assert now == 2000 * MS


def test_without_settling_only_what_is_being_written_is_waited_for() -> None:
    settler = Settler(0)
    settler.touched([TreePath(b"closed")], 1)
    settler.touched([TreePath(b"open")], 1, 10 * MS)
    assert settler.due(1) == [b"closed"]
    assert settler.due(9 * MS) == []
    settler.touched([TreePath(b"open")], 9 * MS)
    assert settler.next_deadline() == 9 * MS
    assert settler.due(9 * MS) == [b"open"]
    assert settler.due(99 * MS) == []


@given(st.lists(st.tuples(st.sampled_from([b"a", b"b", b"c"]), st.integers(0, 300)), max_size=60))
def test_nothing_touched_is_forgotten_or_late(events: list[tuple[bytes, int]]) -> None:
    settler = Settler(50 * MS, 200 * MS)
    now = 0
    first: dict[bytes, int] = {}
    for path, gap in events:
        now += gap * MS
        for due in settler.due(now):
            del first[due]
        settler.touched([TreePath(path)], now)
        first.setdefault(path, now)
        assert len(settler) == len(first)
        deadline = settler.next_deadline()
        assert deadline is not None and deadline <= min(first.values()) + 210 * MS
    assert set(settler.due(now + 210 * MS)) == set(first)
