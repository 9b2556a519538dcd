"""What others are told of outlasts a power loss here, and what is put in place is durable before the index says so."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from l2sync.disk import applier
from l2sync.disk.beneath import Beneath
from l2sync.disk.durable import FEW
from l2sync.modtree import Entry, TreePath

from .conftest import Replica

Pair = tuple[Replica, Replica]
ALL = "the whole file system"


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of all that is made durable from now on, in that order."""
    names: list[str] = []
    fsync = os.fsync

    def note(fd: int) -> None:
        names.append(Path(os.readlink(f"/proc/self/fd/{fd}")).name)
        fsync(fd)

    monkeypatch.setattr(os, "fsync", note)
    monkeypatch.setattr(Beneath, "sync", lambda beneath: names.append(ALL))
    return names


def test_a_new_file_is_durable_and_so_is_its_name_before_the_scan_tells_of_it(pair: Pair, synced: list[str]) -> None:
    a, _ = pair
    (a.root / "d").mkdir()
    (a.root / "d/f").write_text("text")
    synced.clear()
    a.store.scan(None)
    assert {"f", "d", "a"} <= set(synced)
    assert synced.index("f") < synced.index("d")


def test_a_deletion_is_durable_before_the_scan_tells_of_it(pair: Pair, synced: list[str]) -> None:
    a, _ = pair
    (a.root / "d").mkdir()
    (a.root / "d/f").write_text("text")
    a.scan()
    os.unlink(a.root / "d/f")
    synced.clear()
    a.store.scan([TreePath(b"d/f")])
    assert "d" in synced and "f" not in synced
    shutil.rmtree(a.root / "d")
    synced.clear()
    a.store.scan([TreePath(b"d")])
    assert set(synced) == {"a"}


def test_many_changes_are_made_durable_at_once(pair: Pair, synced: list[str]) -> None:
    a, _ = pair
    for number in range(FEW + 1):
        (a.root / f"f{number}").write_text("text")
    synced.clear()
    a.store.scan(None)
    assert synced == [ALL]


def test_a_device_cannot_be_opened_for_it(replica: Callable[..., Replica], synced: list[str]) -> None:
    a = replica("a", devices=True)
    a.scan()
    os.mkfifo(a.root / "pipe")
    synced.clear()
    a.store.scan(None)
    assert synced == [ALL]


def test_a_link_comes_with_its_name(pair: Pair, synced: list[str]) -> None:
    a, _ = pair
    a.scan()
    os.symlink("nowhere", a.root / "link")
    synced.clear()
    a.store.scan(None)
    assert synced == ["a"]


def test_a_scan_that_finds_nothing_writes_nothing(pair: Pair, synced: list[str]) -> None:
    a, _ = pair
    (a.root / "f").write_text("text")
    a.scan()
    synced.clear()
    a.store.scan(None)
    assert synced == []


def _same(entry: Entry, root: Path) -> None:
    """Make by hand what the entry says."""
    path = root / os.fsdecode(entry.path)
    path.write_text("text")
    os.chmod(path, entry.mode)
    os.utime(path, ns=(entry.mtime_ns, entry.mtime_ns))


def test_attributes_that_are_changed_in_place_are_durable_before_the_index_says_so(
    pair: Pair, synced: list[str]
) -> None:
    a, b = pair
    (a.root / "f").write_text("text")
    b.mirror(a)
    (a.root / "f").chmod(0o600)
    made = a.scan()
    synced.clear()
    b.receive(a, made)
    assert synced == [ALL] and (b.root / "f").stat().st_mode & 0o777 == 0o600


def test_what_a_user_made_alike_is_durable_before_the_index_says_so(pair: Pair, synced: list[str]) -> None:
    a, b = pair
    (a.root / "f").write_text("text")
    made = a.scan()
    for entry in made:
        if entry.path == b"f":
            _same(entry, b.root)
    synced.clear()
    b.receive(a, made)
    assert ALL in synced


def test_what_a_killed_agent_had_put_in_place_is_durable_before_it_is_adopted(
    pair: Pair, synced: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = pair
    (a.root / "f").write_text("text")
    key, entries = b.stage(a, a.scan())

    def die(self: applier.Applier, job: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(applier.Applier, "_record", die)
        b.commit(key, entries)
    assert (b.root / "f").exists()
    synced.clear()
    b.reopen()
    assert ALL in synced and TreePath(b"f") in b.entries
