"""A user who is a moment quicker than a commit: between the last look at a file and the rename over it."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from l2sync.disk import placing, sources
from l2sync.modtree import Kind, Target, TreePath

from .conftest import Replica, differences

Pair = tuple[Replica, Replica]


def path(text: str) -> TreePath:
    return TreePath(text.encode())


def save(file: Path, text: str) -> None:
    """As editors do: written aside, renamed into place."""
    aside = file.with_name(file.name + "~")
    aside.write_text(text)
    os.rename(aside, file)


@pytest.fixture
def synced(pair: Pair) -> Pair:
    a, b = pair
    (a.root / "f").write_text("old f")
    (a.root / "g").write_text("old g")
    (a.root / "d").mkdir()
    b.mirror(a)
    return a, b


def quicker(monkeypatch: pytest.MonkeyPatch, child: bytes, user: Callable[[], None]) -> None:
    """Let the user act once, just before the tree's ``child`` is renamed, over or away."""
    real = placing.rename_beneath
    left = [user]

    def rename(old: bytes, old_directory: int, new: bytes, new_directory: int, flags: int) -> None:
        if child in (old, new) and left:
            left.pop()()
        real(old, old_directory, new, new_directory, flags)

    monkeypatch.setattr(placing, "rename_beneath", rename)


@pytest.mark.parametrize("same_size", [False, True])
def test_a_file_saved_at_the_last_moment_is_kept(
    synced: Pair, monkeypatch: pytest.MonkeyPatch, same_size: bool
) -> None:
    a, b = synced
    (a.root / "f").write_text("theirs")
    mine = "my f!!" if same_size else "mine"
    quicker(monkeypatch, b"f", lambda: save(b.root / "f", mine))
    assert b.mirror(a).changed == [path("f")]
    assert (b.root / "f").read_text() == mine
    assert path("f") in [entry.path for entry in b.scan(b"f")]


def test_a_file_written_in_place_at_the_last_moment_is_kept(synced: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = synced
    (a.root / "f").write_text("theirs")
    quicker(monkeypatch, b"f", lambda: (b.root / "f").write_text("mine") and None)
    assert b.mirror(a).changed == [path("f")]
    assert (b.root / "f").read_text() == "mine"


def test_a_file_made_at_the_last_moment_is_kept(synced: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = synced
    (a.root / "n").write_text("theirs")
    quicker(monkeypatch, b"n", lambda: (b.root / "n").write_text("mine") and None)
    assert path("n") in b.mirror(a).changed
    assert (b.root / "n").read_text() == "mine"


def test_a_file_saved_just_before_its_removal_is_kept(synced: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = synced
    os.unlink(a.root / "f")
    quicker(monkeypatch, b"f", lambda: save(b.root / "f", "mine"))
    assert path("f") in b.mirror(a).changed
    assert (b.root / "f").read_text() == "mine"


def test_a_file_deleted_at_the_last_moment_stays_deleted(synced: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = synced
    (a.root / "f").write_text("theirs")
    quicker(monkeypatch, b"f", lambda: os.unlink(b.root / "f"))
    assert b.mirror(a).changed == [path("f")]
    assert not (b.root / "f").exists()


def test_a_directory_filled_at_the_last_moment_does_not_become_a_file(
    synced: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = synced
    os.rmdir(a.root / "d")
    (a.root / "d").write_text("a file now")
    quicker(monkeypatch, b"d", lambda: (b.root / "d" / "x").write_text("mine") and None)
    assert path("d") in b.mirror(a).changed
    assert (b.root / "d" / "x").read_text() == "mine"


def test_a_file_saved_at_the_last_moment_does_not_become_a_directory(
    synced: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = synced
    os.unlink(a.root / "f")
    (a.root / "f").mkdir()
    (a.root / "f" / "x").write_text("below")
    quicker(monkeypatch, b"f", lambda: save(b.root / "f", "mine"))
    result = b.mirror(a)
    assert path("f") in result.changed and path("f") not in [entry.path for entry in result.applied]
    assert (b.root / "f").read_text() == "mine"


def test_a_file_system_without_exchange_serves_too(synced: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = synced

    def refuse(*_: object) -> None:
        raise OSError(22, "Invalid argument")

    monkeypatch.setattr(placing, "rename_beneath", refuse)
    (a.root / "f").write_text("theirs")
    os.unlink(a.root / "g")
    (a.root / "g").mkdir()
    os.rmdir(a.root / "d")
    (a.root / "d").write_text("a file now")
    (a.root / "n").write_text("new")
    result = b.mirror(a)
    assert not result.changed and not result.failed
    os.unlink(a.root / "n")
    assert not b.mirror(a).changed
    assert differences(a, b) == []


def test_a_rename_whose_file_the_user_changed_fails_softly(synced: Pair) -> None:
    a, b = synced
    os.rename(a.root / "f", a.root / "n")
    (a.root / "f").mkdir()
    key, entries = b.stage(a, a.scan())
    (b.root / "f").write_text("mine")
    result = b.commit(key, entries)
    assert path("f") in result.changed and path("n") in result.failed
    assert (b.root / "f").read_text() == "mine"
    assert not (b.root / "n").exists()


def test_a_file_that_stays_after_all_shares_no_inode_with_its_new_name(
    synced: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = synced
    os.rename(a.root / "f", a.root / "n")
    key, entries = b.stage(a, a.scan())
    real = sources.Sources._link

    def linked(self: sources.Sources, job: sources.Job) -> bool:
        done = real(self, job)
        with open(b.root / "f", "a") as file:
            file.write(", and mine")
        return done

    monkeypatch.setattr(sources.Sources, "_link", linked)
    assert path("f") in b.commit(key, entries).changed
    assert (b.root / "f").read_text() == "old f, and mine"
    assert os.stat(b.root / "f").st_nlink == 1
    assert {path("f"), path("n")} <= {entry.path for entry in b.scan()}


def test_a_stale_target_replaces_no_version_that_it_does_not_know(synced: Pair) -> None:
    a, b = synced
    (a.root / "f").write_text("theirs")
    key, entries = b.stage(a, a.scan())
    (b.root / "f").write_text("mine")
    b.scan()
    known = b.entries[path("f")]
    result = b.store.commit(key, [Target(entry, known) for entry in entries if entry.path == b"f"])
    assert result.changed == [path("f")]
    assert (b.root / "f").read_text() == "mine"
    assert {e.path: e for e in b.store.load()}[path("f")] == known


def test_a_target_that_no_file_system_can_hold_fails_alone(synced: Pair) -> None:
    a, b = synced
    os.symlink("x", a.root / "l")
    (a.root / "f").write_text("theirs")
    entries = [
        msgspec.structs.replace(e, target=b"x\0y") if e.kind is Kind.LINK else e for e in a.scan() if e.path != b""
    ]
    result = b.receive(a, entries)
    assert list(result.failed) == [path("l")]
    assert (b.root / "f").read_text() == "theirs"


@pytest.mark.slow
def test_a_directory_swapped_for_a_link_again_and_again_leads_nowhere(synced: Pair, tmp_path: Path) -> None:
    a, b = synced
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "f").write_text("secret")
    (a.root / "d" / "f").write_text("0")
    b.mirror(a)
    os.symlink(outside, tmp_path / "link")
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            placing.rename_beneath(os.fsencode(tmp_path / "link"), -100, os.fsencode(b.root / "d"), -100, 2)

    attacker = threading.Thread(target=swap)
    attacker.start()
    try:
        for number in range(40):
            (a.root / "d" / "f").write_text(f"evil {number}")
            (a.root / "d" / f"n{number}").write_text("evil")
            if number % 3 == 2:
                os.unlink(a.root / "d" / f"n{number - 1}")
            b.mirror(a)
            b.scan()
    finally:
        stop.set()
        attacker.join()
    assert [one.name for one in outside.iterdir()] == ["f"]
    assert (outside / "f").read_text() == "secret"
    status = os.stat(outside / "f")
    assert (status.st_nlink, status.st_mode & 0o777) == (1, 0o644)
