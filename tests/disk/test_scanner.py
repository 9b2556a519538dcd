"""What a scan makes of trouble: it says what it could not look at, and calls nothing deleted for it."""

from __future__ import annotations

import errno
import itertools
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from l2sync.disk import firstlook, reading
from l2sync.disk.beneath import Beneath, System
from l2sync.disk.chunker import Unsettled, hash_file
from l2sync.disk.xattrs import Xattrs
from l2sync.modtree import Kind, TreePath

from .conftest import Replica


def path(text: str) -> TreePath:
    return TreePath(text.encode())


@pytest.fixture
def a(replica: Callable[..., Replica]) -> Replica:
    made = replica("a")
    (made.root / "d").mkdir()
    (made.root / "d" / "f").write_text("f")
    (made.root / "g").write_text("g")
    made.scan()
    return made


@pytest.mark.parametrize("paths", [None, [path("g")]])
def test_a_file_that_cannot_be_read_is_named_and_not_missed(
    a: Replica, monkeypatch: pytest.MonkeyPatch, paths: list[TreePath] | None
) -> None:
    (a.root / "g").write_text("changed")

    def broken(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(reading, "hash_file", broken)
        assert a.store.scan(paths) == []
    assert a.store.unreadable == {path("g"): "Input/output error"}
    assert a.store.unsettled == set(), "it is not tried again at once"
    assert [seen.path for seen in a.store.scan(paths)] == [b"g"]
    assert a.store.unreadable == {}


def test_a_passing_trouble_is_looked_at_again_soon(a: Replica, monkeypatch: pytest.MonkeyPatch) -> None:
    (a.root / "g").write_text("changed")

    def broken(*_: object, **__: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(reading, "hash_file", broken)
        assert a.store.scan(None) == []
    assert a.store.unsettled == {path("g")} and a.store.unreadable == {}


def test_what_is_in_a_directory_that_cannot_be_listed_is_not_missed(
    a: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.scandir

    def broken(fd: int) -> object:
        if os.readlink(f"/proc/self/fd/{fd}").endswith("/d"):
            raise OSError(errno.EIO, "Input/output error")
        return real(fd)

    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", broken)
        assert a.store.scan(None) == []
        assert a.store.scan([path("d")]) == []
    assert a.store.unreadable == {path("d"): "Input/output error"}


def test_a_large_file_that_is_being_written_is_given_up_early(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "log"
    file.write_bytes(bytes(10 << 20))
    real, reads = os.pread, []

    def written(fd: int, size: int, offset: int) -> bytes:
        reads.append(offset)
        os.utime(file)
        return real(fd, size, offset)

    monkeypatch.setattr(os, "pread", written)
    directory = os.open(tmp_path, os.O_RDONLY)
    with pytest.raises(Unsettled):
        hash_file(b"log", directory, Xattrs.probe(directory))
    os.close(directory)
    assert len(reads) == 1


def test_a_file_system_that_refuses_noatime_is_read_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "f").write_text("f")
    real = os.open

    def refuse(name: bytes, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        if flags & os.O_NOATIME:
            raise PermissionError(errno.EPERM, "Operation not permitted")
        return real(name, flags, mode, dir_fd=dir_fd)

    monkeypatch.setattr(os, "open", refuse)
    directory = real(tmp_path, os.O_RDONLY)
    assert hash_file(b"f", directory, Xattrs.probe(directory)).status.st_size == 1
    os.close(directory)


@pytest.fixture
def mounted(a: Replica) -> Iterator[Replica]:
    place = a.root / "d"
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", place], check=True)
    yield a
    subprocess.run(["umount", "-l", place], check=False)


@pytest.mark.root
def test_another_file_system_in_the_tree_is_not_entered(mounted: Replica) -> None:
    (mounted.root / "d" / "other").write_text("not ours")
    for paths in (None, [path("d")], [path("d/f")], [path("d/other")]):
        assert all(seen.path == b"d" for seen in mounted.store.scan(paths)), paths
        assert mounted.store.unsettled == set() and mounted.store.unreadable == {}
    subprocess.run(["umount", mounted.root / "d"], check=True)
    assert mounted.store.scan(None) == []


def test_a_vanished_directory_takes_all_that_is_known_below_with_it(a: Replica) -> None:
    (a.root / "d" / "e").mkdir()
    (a.root / "d" / "e" / "x").touch()
    a.scan()
    subprocess.run(["rm", "-r", a.root / "d"], check=True)
    seen = {seen.path: seen.kind for seen in a.store.scan([path("d/e/x")])}
    gone = {path(one): Kind.TOMBSTONE for one in ("d", "d/e", "d/e/x", "d/f")}
    assert seen == {**gone, path(""): Kind.DIR}


@pytest.mark.parametrize("step", [0, 1])
def test_a_moment_is_let_pass_only_where_times_do_not_tell(
    step: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given a file system whose times stand still (or do not), its files are read after a wait (or at once)."""
    root, real, looks = Beneath(tmp_path), os.fstat, itertools.count(1)

    def stepping(fd: int) -> os.stat_result | SimpleNamespace:
        status = real(fd)
        return SimpleNamespace(st_ctime_ns=step * next(looks)) if status.st_nlink == 0 else status

    (tmp_path / ".l2sync").mkdir()
    with monkeypatch.context() as patch:
        patch.setattr(os, "fstat", stepping)
        fine = root.home.fine_times
    assert fine == bool(step)
    root.close()


def test_where_times_tell_of_every_change_no_read_waits(
    replica: Callable[..., Replica], monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    monkeypatch.setattr("time.sleep", waits.append)
    for fine in (True, False):
        monkeypatch.setattr(System, "fine_times", property(lambda self, fine=fine: fine))
        one = replica(f"fine{fine}")
        (one.root / "f").write_text("just written")
        one.scan()
        assert bool(waits) != fine


def test_a_directory_that_is_gone_is_told_once(replica: Callable[..., Replica]) -> None:
    """Given files that were made and deleted unseen in a directory that is gone as well."""
    one = replica("a")
    (one.root / "d").mkdir()
    one.scan()
    (one.root / "d").rmdir()
    seen = one.store.scan([path(f"d/temporary{number}") for number in range(50)])
    assert sorted(one.path for one in seen) == [b"", b"d"]


def portions(one: Replica) -> list[list[bytes]]:
    """A first look at a tree, each portion persisted before the next; the paths that were found."""
    found, anew, more = [], True, True
    while more:
        seen, more = one.store.look_on(anew)
        one.take(seen)
        found.append([each.path for each in seen])
        anew = False
    return found


@pytest.fixture
def small_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(firstlook, "_PORTION", 5)


@pytest.mark.usefixtures("small_portions")
def test_a_first_look_comes_in_portions_and_finds_what_a_scan_finds(replica: Callable[..., Replica]) -> None:
    one, other = replica("a"), replica("b")
    for place in (one.root, other.root):
        for number in range(20):
            (place / f"d{number}/e").mkdir(parents=True)
            (place / f"d{number}/e/f").write_text("text")
            os.link(place / f"d{number}/e/f", place / f"d{number}/second")
    found = portions(one)
    other.scan()
    assert len(found) > 3 and all(part == sorted(part) for part in found)
    flat = [path for part in found for path in part]
    assert len(flat) == len(set(flat)) and set(flat) == set(other.entries)
    assert [e.link_group for e in one.entries.values()].count(b"") == 41, "links are found across portions"
    assert one.scan() == [] and len(portions(one)) == 1, "known now, it is looked at in one go"


@pytest.mark.usefixtures("small_portions")
def test_a_first_look_that_is_cut_short_is_ended_by_a_scan(replica: Callable[..., Replica]) -> None:
    one = replica("a")
    for number in range(20):
        (one.root / f"d{number}").mkdir()
        (one.root / f"d{number}/f").write_text("text")
    seen, more = one.store.look_on(True)
    assert more
    one.take(seen)
    one.reopen()
    rest = one.scan()
    assert len(seen) + len(rest) == 41 and {e.path for e in rest}.isdisjoint(each.path for each in seen)


def portions_of(one: Replica, *names: str) -> list[list[bytes]]:
    """A look at some paths, each portion persisted before the next; the paths that were found."""
    seen, more = one.store.look_at([path(name) for name in names])
    one.take(seen)
    found = [[each.path for each in seen]]
    while more:
        seen, more = one.store.look_on(False)
        one.take(seen)
        found.append([each.path for each in seen])
    return found


def many(top: Path) -> None:
    for number in range(10):
        (top / f"d{number}/e").mkdir(parents=True)
        (top / f"d{number}/e/f").write_text(f"text {number}")


@pytest.mark.usefixtures("small_portions")
@pytest.mark.parametrize("touched", [["new"], ["", "new"], ["new", "new/d3", "new/d3/e", "new/d3/e/f", "old"]])
def test_a_look_at_what_is_new_comes_in_portions(replica: Callable[..., Replica], touched: list[str]) -> None:
    one = replica("a")
    (one.root / "old").mkdir()
    one.scan()
    many(one.root / "new")
    (one.root / "old/g").write_text("g")
    found = portions_of(one, *touched)
    flat = [path for part in found for path in part]
    assert len(found) > 3 and len(flat) == len(set(flat)) and len(set(flat) - {b"", b"old", b"old/g"}) == 31
    assert {entry.path for entry in one.scan()} <= {b"old", b"old/g"} - set(flat)


@pytest.mark.usefixtures("small_portions")
@pytest.mark.parametrize("touched", [["new", "old"], ["old", "new/d3", "new"], [""]])
def test_what_was_moved_is_told_in_one_with_the_place_that_it_left(
    replica: Callable[..., Replica], touched: list[str]
) -> None:
    one = replica("a")
    many(one.root / "old")
    one.scan()
    (one.root / "old").rename(one.root / "new")
    found = portions_of(one, *touched)
    assert len(found) == 1 and len(found[0]) >= 62


@pytest.mark.usefixtures("small_portions")
def test_a_look_in_portions_is_ended_by_a_scan_of_the_whole_tree(replica: Callable[..., Replica]) -> None:
    one = replica("a")
    one.scan()
    many(one.root / "new")
    seen, more = one.store.look_at([path("new")])
    one.take(seen)
    (one.root / "new/late").write_text("text")
    again, later = one.store.look_at([path("new/late")])
    one.take(again)
    assert more and not later and b"new/late" in {each.path for each in again}
    one.scan()
    seen, more = one.store.look_on(False)
    assert not more or one.take(seen) == []
    assert one.scan() == []
