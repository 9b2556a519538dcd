"""Nothing of the user's is lost: not by a race, a crash, a link, a full disk or an unmounted one."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from l2sync.disk import Paused, placing
from l2sync.disk.index import Index
from l2sync.modtree import Kind, TreePath

from .conftest import Replica, differences

Pair = tuple[Replica, Replica]


def path(text: str) -> TreePath:
    return TreePath(text.encode())


@pytest.fixture
def synced(pair: Pair) -> Pair:
    a, b = pair
    (a.root / "d").mkdir()
    (a.root / "d" / "f").write_text("old")
    (a.root / "g").write_text("old g")
    b.mirror(a)
    return a, b


def test_a_file_that_the_user_changed_is_left_alone(synced: Pair) -> None:
    a, b = synced
    (a.root / "d" / "f").write_text("theirs")
    (b.root / "d" / "f").write_text("mine")
    result = b.mirror(a)
    assert result.changed == [path("d/f")] and not result.applied
    assert (b.root / "d" / "f").read_text() == "mine"
    assert [entry.path for entry in b.scan(b"d/f")] == [b"d/f"]


def test_a_file_that_the_user_deleted_does_not_come_back_unasked(synced: Pair) -> None:
    a, b = synced
    (a.root / "d" / "f").write_text("theirs")
    os.unlink(b.root / "d" / "f")
    assert b.mirror(a).changed == [path("d/f")]
    assert [entry.kind for entry in b.scan(b"d/f") if entry.path] == [Kind.DIR, Kind.TOMBSTONE]


def test_an_unknown_file_in_the_way_is_kept(synced: Pair) -> None:
    a, b = synced
    (a.root / "new").write_text("theirs")
    (b.root / "new").write_text("mine")
    result = b.mirror(a)
    assert path("new") in result.changed
    assert (b.root / "new").read_text() == "mine"


def test_the_same_file_made_here_too_is_taken_for_granted(synced: Pair) -> None:
    a, b = synced
    (a.root / "new").write_text("same")
    shutil.copy2(a.root / "new", b.root / "new")
    inode = os.stat(b.root / "new").st_ino
    result = b.mirror(a)
    assert path("new") in [entry.path for entry in result.applied]
    assert os.stat(b.root / "new").st_ino == inode
    assert all(seen.path == b"" for seen in b.store.scan(None))


def test_a_changed_file_outlives_the_deletion_of_its_directory(synced: Pair) -> None:
    a, b = synced
    shutil.rmtree(a.root / "d")
    (b.root / "d" / "more").write_text("mine")
    result = b.mirror(a)
    assert path("d") in result.changed
    assert (b.root / "d" / "more").read_text() == "mine"


def test_a_directory_with_unseen_files_is_not_removed(replica: Callable[..., Replica]) -> None:
    a, b = replica("a"), replica("b", ignore=("*.o",))
    b.scan()
    (a.root / "d").mkdir()
    b.mirror(a)
    (b.root / "d" / "x.o").touch()
    b.scan()
    os.rmdir(a.root / "d")
    result = b.receive(a, a.scan())
    assert path("d") in [*result.failed, *result.changed]
    assert (b.root / "d" / "x.o").exists()


def test_a_directory_swapped_for_a_link_leads_nowhere(synced: Pair, tmp_path: Path) -> None:
    a, b = synced
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "f").write_text("secret")
    (outside / "g").write_text("secret")
    shutil.rmtree(b.root / "d")
    os.symlink(outside, b.root / "d")
    (a.root / "d" / "f").write_text("evil")
    (a.root / "d" / "n").write_text("evil")
    os.unlink(a.root / "g")
    result = b.mirror(a)
    assert {path("d/f"), path("d/n"), path("d")} <= set(result.changed)
    assert sorted(os.listdir(outside)) == ["f", "g"]
    assert (outside / "f").read_text() == "secret"
    stolen = [(0, path("d/f"), 0, 6, a.entries[path("d/f")].chunk_list()[0].hash)]
    assert b.store.read_chunks(stolen) == [(0, None)]
    kinds = {entry.path: entry.kind for entry in b.scan(b"d/f")}
    assert kinds[path("d")] is Kind.LINK and kinds[path("d/f")] is Kind.TOMBSTONE


def test_a_private_directory_swapped_for_a_link_leads_nowhere(synced: Pair, tmp_path: Path) -> None:
    a, b = synced
    outside = tmp_path / "outside"
    outside.mkdir()
    shutil.copytree(b.root / ".l2sync", outside, dirs_exist_ok=True)
    shutil.rmtree(b.root / ".l2sync")
    os.symlink(outside, b.root / ".l2sync")
    (a.root / "g").write_text("new")
    with pytest.raises(Paused):
        b.mirror(a)


class Crash(BaseException):
    """The process dies."""


@pytest.mark.parametrize("call", ["rename", "unlink", "mkdir", "rmdir", "utime", "chown", "link", "symlink", "fsync"])
@pytest.mark.parametrize("after", [0, 1, 2])
def test_a_crash_leaves_old_or_new(synced: Pair, monkeypatch: pytest.MonkeyPatch, call: str, after: int) -> None:
    a, b = synced
    (a.root / "d" / "f").write_text("new")
    os.rename(a.root / "g", a.root / "d" / "g2")
    (a.root / "e").mkdir()
    (a.root / "e" / "h").write_text("new h")
    os.symlink("x", a.root / "e" / "l")
    made = a.scan()
    key, entries = b.stage(a, made)
    real = getattr(os, call)
    calls = iter(range(1000))

    def dying(*args: object, **options: object) -> object:
        if next(calls) == after:
            raise Crash
        return real(*args, **options)

    with monkeypatch.context() as patch, pytest.raises(Crash):
        patch.setattr(os, call, dying)
        b.commit(key, entries)
        raise Crash  # this call is made less often: nothing was cut short
    assert (b.root / "d" / "f").read_text() in ("old", "new")
    assert any(p.exists() and p.read_text() == "old g" for p in (b.root / "g", b.root / "d" / "g2"))
    assert not (b.root / "e" / "h").exists() or (b.root / "e" / "h").read_text() == "new h"
    b.reopen()
    versions = {entry.path: entry.version for entry in made}
    for seen in b.scan():  # what stands there by the batch's doing is not taken for the user's
        assert seen.kind is Kind.DIR, seen
    for known in b.entries.values():
        if known.path in versions and known.kind is not Kind.DIR and known.version != versions[known.path]:
            assert known.author == "a"
    todo = [entry for entry in made if b.entries.get(entry.path) != entry]
    result = b.receive(a, todo)
    assert not result.changed and not result.failed
    assert b.missing == [], "what had been received is used again"
    assert os.listdir(b.root / ".l2sync" / "staging") == []
    assert differences(a, b) == []


def test_what_a_user_deletes_is_not_taken_for_another_deletion_that_was_on_its_way(synced: Pair) -> None:
    """Given an edit and a deletion from elsewhere that is staged, when the agent dies and the user deletes the file."""
    a, b = synced
    (b.root / "g").write_text("edited here")
    (edit,) = (entry for entry in b.scan() if entry.path == path("g"))
    os.unlink(a.root / "g")
    b.stage(a, [entry for entry in a.scan() if entry.deleted])
    os.unlink(b.root / "g")
    b.reopen()
    assert b.entries[path("g")] == edit
    assert [seen.deleted for seen in b.store.scan([path("g")]) if seen.path == path("g")] == [True]


def test_an_absent_or_unmarked_root_pauses(synced: Pair) -> None:
    a, b = synced
    away = b.root.with_name("away")
    os.rename(b.root, away)
    assert "cannot be opened" in (b.store.health() or "")
    with pytest.raises(Paused):
        b.store.scan(None)
    b.root.mkdir()
    assert "not marked" in (b.store.health() or "")
    with pytest.raises(Paused):
        b.store.scan([path("g")])
    (a.root / "g").write_text("new")
    with pytest.raises(Paused):
        b.mirror(a)
    b.root.rmdir()
    os.rename(away, b.root)
    assert b.store.health() is None
    assert b.store.scan(None) == []


def test_what_vanishes_right_after_other_work_is_not_taken_for_deleted(synced: Pair) -> None:
    _, b = synced
    away = b.root.with_name("away")
    b.store.prepare((1, 1), [], [])
    os.rename(b.root, away)
    b.root.mkdir()
    for step in (lambda: b.store.scan(None), lambda: b.store.scan([path("g")]), lambda: b.store.commit((1, 1), [])):
        with pytest.raises(Paused):
            step()
    b.root.rmdir()
    os.rename(away, b.root)
    assert b.store.scan(None) == []


def test_an_index_that_cannot_be_read_is_noticed_before_it_is_needed(synced: Pair) -> None:
    _, b = synced
    assert b.store.health() is None
    b.store._index._db.execute("DROP TABLE meta")
    assert b.store.health()


def test_an_unmarked_root_can_be_accepted_and_what_is_missing_in_it_is_gone(synced: Pair) -> None:
    _, b = synced
    for child in b.root.iterdir():
        shutil.rmtree(child) if child.is_dir() and not child.is_symlink() else child.unlink()
    assert "not marked" in (b.store.health() or "") and b.store.held
    b.store.accept()
    assert b.store.health() is None and not b.store.held
    assert any(seen.deleted for seen in b.store.scan(None))


def test_a_store_opens_on_an_absent_root(synced: Pair) -> None:
    _, b = synced
    away = b.root.with_name("away")
    os.rename(b.root, away)
    b.reopen()
    assert b.store.health()
    os.rename(away, b.root)
    assert b.store.health() is None and b.store.scan(None) == []


def test_a_tree_emptied_by_its_user_is_empty(synced: Pair) -> None:
    a, b = synced
    shutil.rmtree(a.root / "d")
    os.unlink(a.root / "g")
    b.mirror(a)
    assert os.listdir(b.root) == [".l2sync"]


def test_a_full_disk_pauses(synced: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = synced
    (a.root / "big").write_text("much")

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", full)
        patch.setattr(os, "posix_fallocate", full)
        with pytest.raises(Paused, match="no space"):
            b.mirror(a)
        assert "no space" in (b.store.health() or "")
    assert b.store.health() is None
    assert not b.receive(a, [entry for entry in a.entries.values() if b.entries.get(entry.path) != entry]).failed
    assert differences(a, b) == []


def test_a_file_written_while_it_is_read_is_not_seen_yet(synced: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    a, _ = synced
    (a.root / "g").write_text("first")
    real = os.pread

    def written(fd: int, size: int, offset: int) -> bytes:
        data = real(fd, size, offset)
        (a.root / "g").write_text("second and longer")
        return data

    with monkeypatch.context() as patch:
        patch.setattr(os, "pread", written)
        assert a.store.scan([path("g")]) == []
    assert a.store.unsettled == {path("g")}
    assert [seen.path for seen in a.store.scan(a.store.unsettled)] == [b"g"]
    assert a.store.unsettled == set()


def test_a_conflict_copy_is_made_of_what_is_here(synced: Pair) -> None:
    a, b = synced
    (a.root / "g").write_text("theirs")
    made = a.scan()
    (b.root / "g").write_text("mine")
    mine = {entry.path: entry for entry in b.scan(b"g")}[path("g")]
    copy = msgspec.structs.replace(mine, path=path("g.conflict"))
    result = b.receive(a, [*made, copy])
    assert not result.failed and not result.changed
    assert (b.root / "g").read_text() == "theirs"
    assert (b.root / "g.conflict").read_text() == "mine"
    assert {seen.path for seen in b.store.scan(None)} <= {b""}


def test_content_that_is_not_at_hand_fails_that_file_alone(synced: Pair) -> None:
    a, b = synced
    (a.root / "g").write_text("new g")
    (a.root / "h").write_text("new h")
    made = a.scan()
    result = b.commit((1, 1), made)
    assert result.failed == {path("g"): "its content is not at hand", path("h"): "its content is not at hand"}
    assert [entry.path for entry in result.applied] == [b""]
    assert (b.root / "g").read_text() == "old g"


def test_a_commit_that_met_a_full_disk_can_be_made_again(synced: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = synced
    (a.root / "g").write_text("new g")
    os.symlink("g", a.root / "l")
    made = a.scan()
    key, entries = b.stage(a, made)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "symlink", full)
        result = b.commit(key, entries)
    assert result.failed == {path("l"): "No space left on device"}
    assert (b.root / "g").read_text() == "new g"
    assert b.store.health() is None
    assert not b.receive(a, [a.entries[path("l")], a.entries[path("")]]).failed
    assert differences(a, b) == []


@pytest.mark.parametrize("call", ["stat", "unlink"])
def test_a_removal_that_fails_leaves_the_file(synced: Pair, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    a, b = synced
    os.unlink(a.root / "g")
    made = a.scan()
    key, entries = b.stage(a, made)
    real = getattr(os, call)

    def broken(target: object, *args: object, **options: object) -> object:
        if isinstance(target, bytes) and target != b"g" and options.get("dir_fd") is not None and target.isalnum():
            raise OSError(errno.EIO, "Input/output error")
        return real(target, *args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(placing.os, call, broken)
        assert b.commit(key, entries).failed == {path("g"): "Input/output error"}
    assert (b.root / "g").read_text() == "old g"
    assert [seen.path for seen in b.store.scan(None) if seen.kind is not Kind.DIR] == []


def test_attributes_that_fail_halfway_are_taken_back(synced: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = synced
    os.chmod(a.root / "g", 0o600)
    os.chmod(a.root / "d", 0o711)
    made = a.scan()
    key, entries = b.stage(a, made)
    real, failing = os.utime, [True, True]

    def broken(*args: object, **options: object) -> None:
        if failing:
            failing.pop()
            raise OSError(errno.EIO, "Input/output error")
        real(*args, **options)  # type: ignore[call-overload]

    with monkeypatch.context() as patch:
        patch.setattr(os, "utime", broken)
        assert set(b.commit(key, entries).failed) == {path("g")}
    assert b.store.scan(None) == []
    assert not b.receive(a, made).failed
    assert differences(a, b) == []


def test_a_broken_index_pauses(synced: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    _, b = synced

    def broken(*_: object) -> None:
        raise sqlite3.DatabaseError("database disk image is malformed")

    monkeypatch.setattr(Index, "signatures", broken)
    with pytest.raises(Paused, match="malformed"):
        b.store.scan(None)
