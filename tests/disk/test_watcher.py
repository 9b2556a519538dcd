"""Changes are heard of, those in new directories too; the settler says when to look."""

from __future__ import annotations

import errno
import os
import select
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from inotify_simple import INotify

from l2sync.disk import Settler, Touched, Watcher
from l2sync.modtree import TreePath

from .conftest import Replica

MS = 1_000_000


@pytest.fixture
def watcher(tmp_path: Path) -> Iterator[Watcher]:
    (tmp_path / "d" / "e").mkdir(parents=True)
    (tmp_path / ".l2sync").mkdir()
    made = Watcher(tmp_path, lambda path: path.endswith(b".skip"))
    assert set(made.watch()) == {b"", b"d", b"d/e"}
    yield made
    made.close()


def test_what_is_written_made_moved_and_removed_is_heard(watcher: Watcher, tmp_path: Path) -> None:
    assert watcher.read() == Touched(frozenset())
    (tmp_path / "d" / "f").write_text("f")
    os.symlink("f", tmp_path / "d" / "l")
    assert watcher.read().paths == {b"d/f", b"d/l"}
    os.rename(tmp_path / "d" / "f", tmp_path / "d" / "e" / "g")
    os.chmod(tmp_path / "d" / "e", 0o700)
    os.unlink(tmp_path / "d" / "l")
    assert watcher.read().paths >= {b"d/f", b"d/e/g", b"d/e", b"d/l"}


def test_new_directories_are_watched_and_named(watcher: Watcher, tmp_path: Path) -> None:
    (tmp_path / "n" / "o").mkdir(parents=True)
    (tmp_path / "n" / "o" / "early").touch()
    assert {b"n", b"n/o"} <= watcher.read().paths
    (tmp_path / "n" / "o" / "late").touch()
    assert b"n/o/late" in watcher.read().paths


def test_a_moved_directory_is_heard_under_its_new_name(watcher: Watcher, tmp_path: Path) -> None:
    os.rename(tmp_path / "d", tmp_path / "m")
    assert {b"d", b"m", b"m/e"} <= watcher.read().paths
    (tmp_path / "m" / "e" / "x").touch()
    assert {path for path in watcher.read().paths if path.endswith(b"x")} == {b"m/e/x"}


def test_removed_directories_leave_no_watches(watcher: Watcher, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "d")
    assert {b"d", b"d/e"} <= watcher.read().paths
    assert watcher.watched == 1


def test_private_and_ignored_directories_are_not_watched(watcher: Watcher, tmp_path: Path) -> None:
    (tmp_path / "x.skip").mkdir()
    (tmp_path / ".l2sync" / "staging").mkdir()
    watcher.read()
    (tmp_path / "x.skip" / "f").touch()
    (tmp_path / ".l2sync" / "f").touch()
    assert watcher.read().paths == frozenset()
    assert watcher.watched == 3


def test_a_link_to_a_directory_is_not_followed(watcher: Watcher, tmp_path: Path) -> None:
    os.symlink("/", tmp_path / "out")
    watcher.read()
    assert watcher.watched == 3


def test_lost_events_are_owned_up_to(watcher: Watcher, monkeypatch: pytest.MonkeyPatch) -> None:
    lost = type("Event", (), {"wd": -1, "mask": 0x4000, "cookie": 0, "name": ""})()
    monkeypatch.setattr(INotify, "read", lambda self, timeout: [lost])
    assert watcher.read().overflow


def test_exhausted_watches_are_told_with_their_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(INotify, "add_watch", refuse)
    watcher = Watcher(tmp_path)
    assert watcher.watch() == [] and watcher.exhausted
    assert "fs.inotify.max_user_watches" in (watcher.warning or "")
    watcher.close()


def readable(watcher: Watcher) -> bool:
    return bool(select.select([watcher], [], [], 0)[0])


def test_the_event_loop_hears_of_events_until_they_are_read(watcher: Watcher, tmp_path: Path) -> None:
    assert not readable(watcher)
    (tmp_path / "f").touch()
    assert readable(watcher)
    watcher.read()
    assert not readable(watcher)


def test_directories_no_longer_ignored_are_watched_and_others_no_more(replica: Callable[..., Replica]) -> None:
    a = replica("a")
    for name in ("build", "cache"):
        (a.root / name / "deep").mkdir(parents=True)
    (a.root / ".l2syncignore").write_text("build/\n")
    a.scan()
    watcher = Watcher(a.root, a.store.ignored)
    assert set(watcher.watch()) == {b"", b"cache", b"cache/deep"}
    (a.root / ".l2syncignore").write_text("cache/\n")
    watcher.read()
    assert not readable(watcher)
    a.scan(b".l2syncignore")
    assert readable(watcher)
    assert {b"build", b"build/deep"} <= watcher.read().paths
    (a.root / "build" / "deep" / "f").touch()
    (a.root / "cache" / "deep" / "f").touch()
    assert watcher.read().paths == {b"build/deep/f"}
    watcher.close()
    (a.root / ".l2syncignore").unlink()
    a.scan()


def test_events_survive_a_directory_that_cannot_be_watched(
    watcher: Watcher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "f").touch()
    (tmp_path / "n").mkdir()

    def refuse(*_: object) -> int:
        raise OSError(errno.ENOMEM, "Cannot allocate memory")

    monkeypatch.setattr(INotify, "add_watch", refuse)
    touched = watcher.read()
    assert touched.overflow and b"f" in touched.paths


@pytest.mark.slow
def test_nothing_made_in_a_hurry_is_missed(replica: Callable[..., Replica]) -> None:
    a = replica("a")
    watcher = Watcher(a.root, a.store.ignored)
    watcher.watch()
    a.scan()
    makers = [
        subprocess.Popen(
            ["sh", "-c", f"for i in 1 2 3 4 5 6 7 8; do mkdir -p {top}/$i/x/y; echo $i > {top}/$i/x/y/f; done"],
            cwd=a.root,
        )
        for top in "abc"
    ]
    while any(maker.poll() is None for maker in makers):
        # What changed while it was read is looked at again, as the agent does.
        touched = watcher.read().paths | a.store.unsettled
        a.scan(*touched)
    for _ in range(2):
        a.scan(*watcher.read().paths, *a.store.unsettled, b"")
    assert a.store.scan(None) == []
    watcher.close()


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


def test_a_file_is_told_to_be_open_until_it_is_closed(watcher: Watcher, tmp_path: Path) -> None:
    with open(tmp_path / "f", "w") as file:
        file.write("one")
        file.flush()
        assert watcher.read().open == {b"f"}
        file.write("two")
    told = watcher.read_some()
    assert told is not None
    assert (told.paths, told.open) == ({b"f"}, set())


def test_what_takes_long_is_left_to_a_thread_and_not_lost(watcher: Watcher, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("f")
    (tmp_path / "new").mkdir()
    assert watcher.read_some() is None
    assert watcher.read().paths >= {b"f", b"new"}


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


def test_a_directory_that_is_named_with_the_one_above_it_is_listed_too(replica: Callable[..., Replica]) -> None:
    a = replica("a")
    (a.root / "x/y").mkdir(parents=True)
    a.scan()
    (a.root / "x/y/f").write_text("made before y was watched")
    assert [entry.path for entry in a.scan(b"x", b"x/y")] == [b"x/y", b"x/y/f"]
