"""What is special about hearing of a whole file system: what is elsewhere is dropped, and nothing of the tree is."""

from __future__ import annotations

import errno
import os
import select
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from l2sync.disk import Watcher, fanotify, open_watcher, watching
from l2sync.disk.fanotify import Event, Fanotify
from l2sync.disk.fswatcher import FileSystemWatcher
from tests.integration.mounts import KINDS, mounted

pytestmark = pytest.mark.root


@pytest.fixture
def base(tmp_path: Path) -> Iterator[Path]:
    """A file system on which nothing happens but by the test; the tree is in ``t``."""
    with mounted("tmpfs", tmp_path / "fs", tmp_path / "image", 16) as where:
        (where / "t" / "d").mkdir(parents=True)
        yield where


@pytest.fixture
def watcher(base: Path) -> Iterator[Watcher]:
    made = FileSystemWatcher(base / "t", lambda path: path.startswith(b"build"))
    yield made
    made.close()


def readable(watcher: Watcher) -> bool:
    return bool(select.select([watcher], [], [], 0)[0])


def bustle(directory: Path, watcher: Watcher, count: int = 40) -> None:
    """Write so much in a directory that is not the tree's that it is muted."""
    directory.mkdir(exist_ok=True)
    for number in range(count):
        (directory / f"f{number}").touch()
        watcher.read()


def test_what_happens_elsewhere_is_not_of_the_tree(watcher: Watcher, base: Path) -> None:
    (base / "tt").mkdir()
    (base / "tt" / "f").touch()
    (base / "f").touch()
    assert watcher.read().paths == frozenset()


@pytest.mark.parametrize("place", ["elsewhere", "t/build", "t/.l2sync"])
def test_a_noisy_directory_elsewhere_wakes_nobody_any_more(watcher: Watcher, base: Path, place: str) -> None:
    bustle(base / place, watcher)
    assert not readable(watcher)
    (base / place / "more").touch()
    assert not readable(watcher)


def test_the_root_is_heard_of_where_the_directory_above_it_is_muted(watcher: Watcher, base: Path) -> None:
    bustle(base, watcher)
    (base / "t").chmod(0o700)
    (base / "t" / "f").touch()
    assert watcher.read().paths == {b"", b"f"}


def test_a_muted_directory_that_moves_into_the_tree_is_heard_of(watcher: Watcher, base: Path) -> None:
    bustle(base / "out", watcher)
    os.rename(base / "out", base / "t" / "d" / "in")
    assert b"d/in" in watcher.read().paths
    (base / "t" / "d" / "in" / "late").touch()
    assert watcher.read().paths == {b"d/in/late"}


def test_below_a_muted_directory_one_that_moves_into_the_tree_is_heard_of(watcher: Watcher, base: Path) -> None:
    (base / "out" / "sub").mkdir(parents=True)
    bustle(base / "out", watcher)
    bustle(base / "out" / "sub", watcher)
    os.rename(base / "out" / "sub", base / "t" / "sub")
    watcher.read()
    (base / "t" / "sub" / "late").touch()
    assert watcher.read().paths == {b"sub/late"}


def test_a_directory_that_leaves_the_tree_is_heard_of_once(watcher: Watcher, base: Path) -> None:
    (base / "t" / "d" / "f").touch()
    watcher.read()
    os.rename(base / "t" / "d", base / "d")
    (base / "d" / "g").touch()
    assert watcher.read().paths == {b"d"}


def test_after_lost_events_all_is_looked_at_and_heard_again(
    watcher: Watcher, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bustle(base / "out", watcher)
    with monkeypatch.context() as patch:
        patch.setattr(Fanotify, "read", lambda self: iter([Event(fanotify.Q_OVERFLOW, b"", b"")]))
        assert watcher.read().overflow
    os.rename(base / "out", base / "t" / "in")
    (base / "t" / "in" / "late").touch()
    assert b"in/late" in watcher.read().paths


def test_paths_longer_than_the_kernel_tells_are_named(watcher: Watcher, base: Path) -> None:
    name = "n" * 250
    here = os.open(base / "t", os.O_RDONLY)
    for _ in range(20):
        os.mkdir(name, dir_fd=here)
        below = os.open(name, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    watcher.read()
    os.close(os.open("f", os.O_CREAT | os.O_WRONLY, dir_fd=here))
    os.close(here)
    assert watcher.read().paths == {b"/".join([name.encode()] * 20 + [b"f"])}


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_file_systems_of_every_kind(kind: str, tmp_path: Path) -> None:
    with mounted(kind, tmp_path / "fs", tmp_path / "image", KINDS[kind]) as where:
        (where / "t" / "d").mkdir(parents=True)
        watcher = open_watcher(where / "t", lambda path: False, "fanotify")
        assert watcher.way == "fanotify"
        (where / "t" / "d" / "f").write_text("f")
        assert watcher.read().paths == {b"d/f"}
        os.rename(where / "t" / "d", where / "t" / "e")
        assert watcher.read().paths == {b"d", b"e"}
        (where / "t" / "e" / "f").unlink()
        (where / "f").touch()
        assert watcher.read().paths == {b"e/f"}
        watcher.close()


@pytest.mark.slow
def test_a_part_of_a_file_system_is_watched_directory_by_directory(tmp_path: Path) -> None:
    told: list[str] = []
    with mounted("btrfs", tmp_path / "fs", tmp_path / "image", KINDS["btrfs"]) as where:
        subprocess.run(["btrfs", "-q", "subvolume", "create", where / "t"], check=True)
        watcher = open_watcher(where / "t", lambda path: False, "fanotify", told.append)
        (where / "t" / "f").touch()
        assert watcher.way == "inotify" and watcher.read().paths == {b"f"}
        watcher.close()
    assert told == ["the file system has parts of their own, such as subvolumes"]


def test_a_tree_behind_a_bind_mount_hears_of_what_is_done_at_the_other_end(base: Path) -> None:
    (base / "bound").mkdir()
    subprocess.run(["mount", "--bind", base / "t", base / "bound"], check=True)
    try:
        watcher = FileSystemWatcher(base / "bound")
        (base / "t" / "d" / "f").touch()
        (base / "elsewhere").touch()
        assert watcher.read().paths == {b"d/f"}
        watcher.close()
    finally:
        subprocess.run(["umount", base / "bound"], check=True)


def test_without_the_right_to_it_each_directory_is_watched(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    told: list[str] = []
    monkeypatch.setattr(Fanotify, "__init__", refuse)
    watcher = open_watcher(base / "t", lambda path: False, "fanotify", told.append)
    assert watcher.way == "inotify"
    assert "CAP_SYS_ADMIN" in told[0]
    watcher.close()


def test_beyond_so_many_directories_the_whole_file_system_is_watched(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "MANY", 2)
    watcher = open_watcher(base / "t", lambda path: False)
    assert watcher.way == "inotify"
    (base / "t" / "one more").mkdir()
    watcher.read()
    assert watcher.outgrown
    watcher.close()
    watcher = open_watcher(base / "t", lambda path: False)
    assert watcher.way == "fanotify" and not watcher.outgrown
    watcher.close()
