"""Names, times, owners and sizes at the edge of what file systems take."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from l2sync.modtree import TreePath

from .conftest import Replica, differences

pytestmark = pytest.mark.root
Pair = tuple[Replica, Replica]
SECOND = 1_000_000_000


def arrives(a: Replica, b: Replica) -> None:
    result = b.mirror(a)
    assert not result.failed and not result.changed
    assert differences(a, b) == []
    assert a.store.scan(None) == b.store.scan(None) == []


def test_names_of_all_sorts(pair: Pair) -> None:
    a, b = pair
    root = os.fsencode(a.root) + b"/"
    odd = [b"\xff\xfe", b"new\nline", b"\n", b" ", b"-rf", b"x" * 255, b"\xc3\x28", b"tab\t\x01\x7f", b"*?[a]", b"\\"]
    for name in odd:
        os.mkdir(root + b"d" + name[:254])
        with open(root + b"d" + name[:254] + b"/" + name, "wb") as file:
            file.write(name)
    for one in (b"same", b"Same", b"SAME", "ü".encode(), "u\u0308".encode()):
        with open(root + one, "wb") as file:
            file.write(one)
    arrives(a, b)
    assert len(os.listdir(b.root)) == len(odd) + 6


@pytest.mark.parametrize(
    "mtime",
    [-1, (1 - (1 << 31)) * SECOND + 5, 999_999_999, (1 << 32) * SECOND + 123_456_789, 13_569_465_600 * SECOND + 1],
)
def test_times_long_ago_and_far_ahead_with_all_nanoseconds(pair: Pair, mtime: int) -> None:
    a, b = pair
    (a.root / "d").mkdir()
    (a.root / "f").write_text("f")
    os.symlink("f", a.root / "l")
    for one in ("f", "l", "d"):
        os.utime(a.root / one, ns=(0, mtime), follow_symlinks=False)
    arrives(a, b)
    assert [os.lstat(b.root / one).st_mtime_ns for one in ("f", "l", "d")] == [mtime] * 3


@pytest.fixture
def far(replica: Callable[..., Replica], tmp_path: Path) -> Iterator[Pair]:
    """A, whose file system holds all times, and B, whose file system ends in the year 2446."""
    (tmp_path / "a").mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "none", tmp_path / "a"], check=True)
    try:
        a, b = replica("a"), replica("b")
        b.scan()
        yield a, b
        a.store.close()
    finally:
        subprocess.run(["umount", "-l", tmp_path / "a"], check=True)
        a.open()


@pytest.mark.parametrize("mtime", [40_000_000_000 * SECOND + 7, -3_000_000_000 * SECOND])
def test_a_time_that_a_file_system_cannot_hold_is_kept_for_those_that_can(far: Pair, mtime: int) -> None:
    a, b = far
    (a.root / "d").mkdir()
    for one in ("f", "g", "d"):
        if one != "d":
            (a.root / one).write_text(one)
        os.utime(a.root / one, ns=(0, mtime))
    assert not b.mirror(a).failed
    if os.stat(b.root / "f").st_mtime_ns == mtime:
        pytest.skip("this file system holds it")
    assert b.store.scan(None) == []
    os.chmod(b.root / "f", 0o600)
    os.chmod(b.root / "d", 0o700)
    a.mirror(b)
    assert [os.stat(a.root / one).st_mtime_ns for one in ("f", "g", "d")] == [mtime] * 3
    assert a.store.scan(None) == b.store.scan(None) == []
    os.utime(b.root / "f", ns=(0, 5))
    a.mirror(b)
    assert os.stat(a.root / "f").st_mtime_ns == 5


def test_owners_that_no_passwd_knows(pair: Pair) -> None:
    a, b = pair
    (a.root / "f").touch()
    os.chown(a.root / "f", 4_294_967_294, 3_000_000_000)
    arrives(a, b)
    status = os.stat(b.root / "f")
    assert (status.st_uid, status.st_gid) == (4_294_967_294, 3_000_000_000)


def deep(root: Path, levels: int) -> int:
    """A chain of directories, made by descending; the innermost, open."""
    fd = os.open(root, os.O_RDONLY)
    for level in range(levels):
        name = f"{level:03d}" + "d" * 197
        os.mkdir(name, dir_fd=fd)
        above, fd = fd, os.open(name, os.O_RDONLY, dir_fd=fd)
        os.close(above)
    return fd


def everything(root: Path) -> list[tuple[list[str], list[str], int]]:
    found = []
    for place, folders, files, fd in os.fwalk(root):
        if place == str(root):
            folders.remove(".l2sync")
        found.append((sorted(folders), sorted(files), os.fstat(fd).st_mtime_ns))
    return found


def test_paths_longer_than_the_kernel_takes(pair: Pair) -> None:
    a, b = pair
    fd = deep(a.root, 50)
    try:
        for name in ("f", "g"):
            os.close(os.open(name, os.O_CREAT | os.O_WRONLY, dir_fd=fd))
        os.symlink("f", "l", dir_fd=fd)
        os.link("f", "h", src_dir_fd=fd, dst_dir_fd=fd)
        made = a.scan()
        assert max(len(entry.path) for entry in made) > 10_000
        assert not b.receive(a, made).failed
        assert everything(a.root) == everything(b.root)
        below = max(entry.path for entry in made if len(entry.path) > 10_000).rpartition(b"/")[0]
        os.rename("g", "renamed", src_dir_fd=fd, dst_dir_fd=fd)
        os.write(file := os.open("f", os.O_WRONLY, dir_fd=fd), b"changed")
        os.close(file)
        assert not b.receive(a, a.scan(below + b"/g", below + b"/renamed", below + b"/f")).failed
        assert everything(a.root) == everything(b.root)
        assert a.store.scan(None) == b.store.scan(None) == []
        assert b.entries[TreePath(below + b"/h")].size == 7
    finally:
        os.close(fd)


def test_a_path_that_is_too_long_to_be_told_is_named_and_holds_up_nothing(pair: Pair) -> None:
    a, b = pair
    os.close(deep(a.root, 170))
    (a.root / "f").write_text("f")
    made = a.scan()
    assert not b.receive(a, made).failed and (b.root / "f").read_text() == "f"
    (named,) = a.store.unreadable.items()
    assert len(named[0]) > 32_768 and "too long" in named[1]


@pytest.mark.slow
def test_a_directory_of_a_hundred_thousand_entries(pair: Pair, record_property: pytest.RecordProperty) -> None:  # type: ignore[name-defined]
    a, b = pair
    (a.root / "d").mkdir()
    fd = os.open(a.root / "d", os.O_RDONLY)
    for number in range(100_000):
        os.mknod(f"{number:x}", 0o600, dir_fd=fd)
    os.close(fd)
    for name, step in (
        ("first scan and index", a.scan),
        ("applied", lambda: b.receive(a, list(a.entries.values()))),
        ("scan again", lambda: b.store.scan(None)),
        ("one more file", lambda: ((a.root / "d" / "new").touch(), b.receive(a, a.scan(b"d/new")))),
    ):
        start = time.perf_counter()
        step()
        record_property(name, f"{time.perf_counter() - start:.2f} s")
    assert a.store.scan(None) == b.store.scan(None) == []
    assert sorted(os.listdir(a.root / "d")) == sorted(os.listdir(b.root / "d"))
