"""What others replace is kept, listed, brought back, and bounded."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from l2sync.disk import placing, versions
from l2sync.disk.restoring import CannotRestore
from l2sync.disk.versions import DAY_NS, Kept
from l2sync.modtree import TreePath

from .conftest import Replica, differences

Pair = tuple[Replica, Replica]
Make = Callable[..., Replica]


@pytest.fixture
def keeping(replica: Make) -> Pair:
    """A, and B, which keeps what A replaces."""
    a, b = replica("a"), replica("b", keep_versions_ns=DAY_NS, keep_versions_bytes=1 << 20)
    b.scan()
    (a.root / "d").mkdir()
    (a.root / "d" / "f").write_text("first")
    b.mirror(a)
    return a, b


def kept(b: Replica, under: bytes | None = None) -> list[tuple[bytes, str]]:
    """Paths and contents of the kept versions, oldest first."""
    found = b.store.versions(None if under is None else TreePath(under))
    return [(one.path, content(b, one)) for one in found]


def content(b: Replica, one: Kept) -> str:
    place = b.root / os.fsdecode(one.place)
    return f"-> {os.readlink(place)}" if place.is_symlink() else place.read_text()


def change(a: Replica, path: str, text: str) -> None:
    (a.root / path).write_text(text)


def test_what_a_change_replaces_is_kept_as_it_was(keeping: Pair) -> None:
    a, b = keeping
    before = os.lstat(b.root / "d" / "f")
    change(a, "d/f", "second")
    b.mirror(a)
    assert kept(b) == [(b"d/f", "first")]
    (one,) = b.store.versions()
    after = os.lstat(b.root / os.fsdecode(one.place))
    assert (after.st_ino, after.st_mtime_ns, after.st_mode) == (before.st_ino, before.st_mtime_ns, before.st_mode)
    assert one.id.endswith(b"-a") and abs(one.kept_ns - time.time_ns()) < 60 * 10**9
    assert differences(a, b) == []


def test_what_a_deletion_takes_away_is_kept(keeping: Pair) -> None:
    a, b = keeping
    os.symlink("f", a.root / "d" / "link")
    b.mirror(a)
    for name in ("f", "link"):
        os.unlink(a.root / "d" / name)
    (a.root / "d").rmdir()
    b.mirror(a)
    assert sorted(kept(b)) == [(b"d/f", "first"), (b"d/link", "-> f")]
    assert differences(a, b) == [] and b.scan() == []


def test_a_file_that_becomes_a_directory_is_kept(keeping: Pair) -> None:
    a, b = keeping
    os.unlink(a.root / "d" / "f")
    (a.root / "d" / "f").mkdir()
    change(a, "d/f/below", "new")
    b.mirror(a)
    change(a, "d/f/below", "newer")
    b.mirror(a)
    assert kept(b) == [(b"d/f", "first"), (b"d/f/below", "new")]


def test_nothing_is_kept_of_ones_own_changes_of_attributes_and_of_renames(keeping: Pair) -> None:
    a, b = keeping
    (b.root / "own").write_text("own")
    (b.root / "own").unlink()
    (a.root / "d" / "f").chmod(0o600)
    b.mirror(a)
    (a.root / "d" / "f").rename(a.root / "d" / "g")
    b.mirror(a)
    assert kept(b) == [] and (b.root / "d" / "g").read_text() == "first"


def test_nothing_is_kept_unless_asked_for(pair: Pair) -> None:
    a, b = pair
    (a.root / "f").write_text("first")
    b.mirror(a)
    change(a, "f", "second")
    b.mirror(a)
    assert not (b.root / ".l2sync" / "versions").exists()


def test_a_file_system_without_exchange_keeps_too(keeping: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = keeping

    def refuse(old: bytes, there: int, new: bytes, here: int, flags: int) -> None:
        raise OSError(22, "Invalid argument") if flags else AssertionError

    monkeypatch.setattr(placing, "rename_beneath", refuse)
    change(a, "d/f", "second")
    b.mirror(a)
    assert (b.root / "d" / "f").read_text() == "second"
    os.unlink(a.root / "d" / "f")
    b.mirror(a)
    assert [text for _, text in kept(b)] == ["first", "second"]


def test_what_cannot_be_kept_is_not_replaced(keeping: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = keeping

    def refuse(*_: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(versions, "rename_beneath", refuse)
    change(a, "d/f", "second")
    assert b.mirror(a).failed == {b"d/f": "Input/output error"}
    assert (b.root / "d" / "f").read_text() == "first" and b.scan() == []


def test_the_oldest_go_first_when_there_are_too_many(keeping: Pair) -> None:
    a, b = keeping
    for number in range(6):
        change(a, "d/f", str(number) * 300_000)
        b.mirror(a)
    assert [text[:1] for _, text in kept(b)] == ["2", "3", "4"]


def test_what_has_expired_goes_with_its_directories(keeping: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = keeping
    change(a, "d/f", "second")
    b.mirror(a)
    later = time.time_ns() + DAY_NS + 10**9
    monkeypatch.setattr(time, "time_ns", lambda: later)
    b.scan()
    assert kept(b) == [] and os.listdir(b.root / ".l2sync" / "versions") == []


def test_a_file_larger_than_all_versions_may_be_pushes_no_other_out(keeping: Pair) -> None:
    a, b = keeping
    change(a, "d/f", "x" * (2 << 20))
    b.mirror(a)
    change(a, "d/f", "third")
    b.mirror(a)
    assert kept(b) == [(b"d/f", "first")]


def test_the_newest_version_comes_back_with_all_its_attributes(keeping: Pair) -> None:
    a, b = keeping
    os.chown(a.root / "d" / "f", 1234, 4321)
    (a.root / "d" / "f").chmod(0o4751)
    os.setxattr(a.root / "d" / "f", "user.note", b"kept")
    b.mirror(a)
    before = os.stat(b.root / "d" / "f")
    change(a, "d/f", "second")
    os.removexattr(a.root / "d" / "f", "user.note")
    b.mirror(a)
    assert b.store.restore(TreePath(b"d/f"), None) == ([b"d/f"], {})
    after = os.stat(b.root / "d" / "f")
    assert (b.root / "d" / "f").read_text() == "first"
    for field in ("st_mode", "st_uid", "st_gid", "st_mtime_ns", "st_size"):
        assert getattr(after, field) == getattr(before, field)
    assert os.getxattr(b.root / "d" / "f", "user.note") == b"kept"
    assert [text for _, text in kept(b)] == ["first", "second"], "the version stays, and what it replaced is kept"
    assert b"d/f" in {entry.path for entry in b.scan(b"d/f")}
    assert not os.listdir(b.root / ".l2sync" / "staging")


def test_an_older_version_comes_back_by_its_name(keeping: Pair) -> None:
    a, b = keeping
    for text in ("second", "third"):
        change(a, "d/f", text)
        b.mirror(a)
    first = b.store.versions()[0]
    b.store.restore(TreePath(b"d/f"), first.id)
    assert (b.root / "d" / "f").read_text() == "first"


def test_all_that_is_gone_below_a_directory_comes_back_with_the_directories(keeping: Pair) -> None:
    a, b = keeping
    (a.root / "d" / "e").mkdir(mode=0o750)
    os.chown(a.root / "d" / "e", 5, 6)
    change(a, "d/e/g", "deep")
    os.symlink("g", a.root / "d" / "e" / "link")
    change(a, "stays", "old")
    b.mirror(a)
    change(a, "d/e/g", "deeper")
    change(a, "stays", "new")
    b.mirror(a)
    for name in ("d/e/g", "d/e/link", "d/f"):
        os.unlink(a.root / name)
    (a.root / "d" / "e").rmdir()
    (a.root / "d").rmdir()
    b.mirror(a)
    changed, failed = b.store.restore(TreePath(b""), None)
    assert sorted(changed) == [b"d", b"d/e", b"d/e/g", b"d/e/link", b"d/f"] and not failed
    assert (b.root / "d/e/g").read_text() == "deeper" and os.readlink(b.root / "d/e/link") == "g"
    assert (b.root / "stays").read_text() == "new"
    status = os.stat(b.root / "d" / "e")
    assert (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid) == (0o750, 5, 6)
    assert {entry.path for entry in b.scan()} >= {b"d", b"d/e", b"d/e/g", b"d/e/link", b"d/f"}


@pytest.mark.parametrize(
    ("path", "version", "why"),
    [
        (b"never", None, "no version of it is kept"),
        (b"d/f", b"20200101-000000.000000000-x", "no version 20200101"),
        (b"d/f", b"../../../etc/passwd", "no version"),
        (b"d", b"f", "no version"),
    ],
)
def test_what_was_not_kept_cannot_come_back(keeping: Pair, path: bytes, version: bytes | None, why: str) -> None:
    _, b = keeping
    with pytest.raises(CannotRestore, match=why):
        b.store.restore(TreePath(path), version)


def test_what_stands_in_the_way_stays(keeping: Pair) -> None:
    a, b = keeping
    os.unlink(a.root / "d" / "f")
    (a.root / "d").rmdir()
    b.mirror(a)
    (b.root / "d").write_text("a file of the user's")
    assert b.store.restore(TreePath(b"d/f"), None) == ([], {b"d/f": "d is no directory now: move it away first"})
    os.unlink(b.root / "d")
    (b.root / "d" / "f").mkdir(parents=True)
    assert b.store.restore(TreePath(b"d/f"), None)[1] == {b"d/f": "a directory stands there now: move it away first"}


def test_a_crash_between_the_exchange_and_the_keeping_loses_nothing(
    keeping: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = keeping
    change(a, "d/f", "second")
    made = a.scan()
    key, entries = b.stage(a, made)

    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(versions, "rename_beneath", crash)
        with pytest.raises(KeyboardInterrupt):
            b.commit(key, entries)
    crashed_open(b)
    assert (b.root / "d" / "f").read_text() == "second"
    assert kept(b) == [(b"d/f", "first")]


def crashed_open(b: Replica) -> None:
    """Open anew without an orderly end: the files stay as they are."""
    b.store._index.close()
    b.open()


def test_a_crash_after_the_keeping_keeps_it_once(keeping: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = keeping
    change(a, "d/f", "second")
    key, entries = b.stage(a, a.scan())

    def crash(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(b.store._index, "put", crash)
        with pytest.raises(KeyboardInterrupt):
            b.commit(key, entries)
    crashed_open(b)
    assert (b.root / "d" / "f").read_text() == "second" and kept(b) == [(b"d/f", "first")]
    assert b.scan() == [], "and it is the others' version, not one of our own"


def test_versions_are_no_part_of_the_tree(keeping: Pair, tmp_path: Path) -> None:
    a, b = keeping
    change(a, "d/f", "second")
    b.mirror(a)
    (b.root / ".l2sync" / "versions" / "planted").write_text("x")
    assert b.scan() == [] and b.scan(b".l2sync/versions/d/f", b".l2sync") == []
    assert b.store.ignored(TreePath(b".l2sync/versions"))
    assert kept(b) == [(b"d/f", "first")]
