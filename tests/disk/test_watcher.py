"""Changes are heard of, those in new directories too, in whichever way a tree is watched."""

from __future__ import annotations

import errno
import os
import select
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from inotify_simple import INotify

from l2sync.disk import Touched, Watcher
from l2sync.disk.fswatcher import FileSystemWatcher
from l2sync.disk.inotify import InotifyWatcher

from .conftest import Replica

Way = Callable[..., Watcher]


@pytest.fixture(params=[InotifyWatcher, pytest.param(FileSystemWatcher, marks=pytest.mark.root)])
def way(request: pytest.FixtureRequest) -> Way:
    """Each way of watching."""
    found: Way = request.param
    return found


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    (root / "d" / "e").mkdir(parents=True)
    (root / ".l2sync").mkdir()
    return root


@pytest.fixture
def watcher(way: Way, root: Path) -> Iterator[Watcher]:
    made = way(root, lambda path: path.endswith(b".skip"))
    made.watch()
    yield made
    made.close()


@pytest.fixture
def each(root: Path) -> Iterator[InotifyWatcher]:
    """One that watches each directory."""
    made = InotifyWatcher(root, lambda path: path.endswith(b".skip"))
    assert set(made.watch()) == {b"", b"d", b"d/e"}
    yield made
    made.close()


def test_what_is_written_made_moved_and_removed_is_heard(watcher: Watcher, root: Path) -> None:
    assert watcher.read() == Touched(frozenset())
    (root / "d" / "f").write_text("f")
    os.symlink("f", root / "d" / "l")
    assert watcher.read().paths == {b"d/f", b"d/l"}
    os.rename(root / "d" / "f", root / "d" / "e" / "g")
    os.chmod(root / "d" / "e", 0o700)
    os.unlink(root / "d" / "l")
    assert watcher.read().paths >= {b"d/f", b"d/e/g", b"d/e", b"d/l"}


def test_new_directories_are_watched_and_named(watcher: Watcher, root: Path) -> None:
    (root / "n" / "o").mkdir(parents=True)
    (root / "n" / "o" / "early").touch()
    assert {b"n", b"n/o"} <= watcher.read().paths
    (root / "n" / "o" / "late").touch()
    assert b"n/o/late" in watcher.read().paths


def test_a_moved_directory_is_heard_under_its_new_name(watcher: Watcher, root: Path) -> None:
    os.rename(root / "d", root / "m")
    assert {b"d", b"m", b"m/e"} <= watcher.read().paths
    (root / "m" / "e" / "x").touch()
    assert {path for path in watcher.read().paths if path.endswith(b"x")} == {b"m/e/x"}


def test_a_removed_directory_is_heard_of(watcher: Watcher, root: Path) -> None:
    shutil.rmtree(root / "d")
    assert b"d" in watcher.read().paths


def test_removed_directories_leave_no_watches(each: InotifyWatcher, root: Path) -> None:
    shutil.rmtree(root / "d")
    assert {b"d", b"d/e"} <= each.read().paths
    assert each.watched == 1


def test_private_and_ignored_directories_are_not_watched(watcher: Watcher, root: Path) -> None:
    (root / "x.skip").mkdir()
    (root / ".l2sync" / "staging").mkdir()
    watcher.read()
    (root / "x.skip" / "f").touch()
    (root / ".l2sync" / "f").touch()
    (root / ".l2sync" / "staging" / "f").touch()
    assert watcher.read().paths == frozenset()
    if isinstance(watcher, InotifyWatcher):
        assert watcher.watched == 3


def test_a_link_to_a_directory_is_not_followed(watcher: Watcher, root: Path) -> None:
    outside = root.parent / "outside"
    outside.mkdir()
    os.symlink(outside, root / "out")
    watcher.read()
    (outside / "f").touch()
    assert watcher.read().paths == frozenset()


def test_lost_events_are_owned_up_to(each: InotifyWatcher, monkeypatch: pytest.MonkeyPatch) -> None:
    lost = type("Event", (), {"wd": -1, "mask": 0x4000, "cookie": 0, "name": ""})()
    monkeypatch.setattr(INotify, "read", lambda self, timeout: [lost])
    assert each.read().overflow


def test_exhausted_watches_are_told_with_their_remedy(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(INotify, "add_watch", refuse)
    watcher = InotifyWatcher(root)
    assert watcher.watch() == [] and watcher.exhausted
    assert "fs.inotify.max_user_watches" in (watcher.warning or "")
    watcher.close()


def readable(watcher: Watcher) -> bool:
    return bool(select.select([watcher], [], [], 0)[0])


def nothing_to_hear(watcher: Watcher) -> bool:
    """Also where something happens elsewhere on the file system, of which fanotify hears as well."""
    return not readable(watcher) or not watcher.read().paths


def test_the_event_loop_hears_of_events_until_they_are_read(watcher: Watcher, root: Path) -> None:
    assert nothing_to_hear(watcher)
    (root / "f").touch()
    assert readable(watcher)
    assert watcher.read().paths
    assert nothing_to_hear(watcher)


def test_directories_no_longer_ignored_are_watched_and_others_no_more(
    way: Way, replica: Callable[..., Replica]
) -> None:
    a = replica("a")
    for name in ("build", "cache"):
        (a.root / name / "deep").mkdir(parents=True)
    (a.root / ".l2syncignore").write_text("build/\n")
    a.scan()
    watcher = way(a.root, a.store.ignored)
    watcher.watch()
    (a.root / ".l2syncignore").write_text("cache/\n")
    watcher.read()
    assert not readable(watcher)
    a.scan(b".l2syncignore")
    assert readable(watcher)
    watcher.read()
    (a.root / "build" / "deep" / "f").touch()
    (a.root / "cache" / "deep" / "f").touch()
    assert watcher.read().paths == {b"build/deep/f"}
    watcher.close()
    (a.root / ".l2syncignore").unlink()
    a.scan()


def test_events_survive_a_directory_that_cannot_be_watched(
    each: InotifyWatcher, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "f").touch()
    (root / "n").mkdir()

    def refuse(*_: object) -> int:
        raise OSError(errno.ENOMEM, "Cannot allocate memory")

    monkeypatch.setattr(INotify, "add_watch", refuse)
    touched = each.read()
    assert touched.overflow and b"f" in touched.paths


@pytest.mark.slow
def test_nothing_made_in_a_hurry_is_missed(way: Way, replica: Callable[..., Replica]) -> None:
    a = replica("a")
    watcher = way(a.root, a.store.ignored)
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


def test_a_file_is_told_to_be_open_until_it_is_closed(watcher: Watcher, root: Path) -> None:
    with open(root / "f", "w") as file:
        file.write("one")
        file.flush()
        assert watcher.read().open == {b"f"}
        file.write("two")
    told = watcher.read_some()
    assert told is not None
    assert (told.paths, told.open) == ({b"f"}, set())


def test_what_takes_long_is_left_to_a_thread_and_not_lost(watcher: Watcher, root: Path) -> None:
    (root / "f").write_text("f")
    (root.parent / "new" / "deep").mkdir(parents=True)
    os.rename(root.parent / "new", root / "new")
    assert watcher.read_some() is None
    assert watcher.read().paths >= {b"f", b"new", b"new/deep"}


def test_a_directory_that_is_named_with_the_one_above_it_is_listed_too(replica: Callable[..., Replica]) -> None:
    a = replica("a")
    (a.root / "x/y").mkdir(parents=True)
    a.scan()
    (a.root / "x/y/f").write_text("made before y was watched")
    assert [entry.path for entry in a.scan(b"x", b"x/y")] == [b"x/y", b"x/y/f"]
