"""Trees that were moved, whose state was lost, and what is set aside."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable

import pytest

from l2sync.disk import Paused, guard
from l2sync.modtree import TreePath

from .conftest import Replica

Make = Callable[..., Replica]


def filled(replica: Make) -> Replica:
    made = replica("a")
    (made.root / "d/e").mkdir(parents=True)
    for name in ("f", "d/g", "d/e/h"):
        (made.root / name).write_text(f"content of {name}")
    os.chmod(made.root / "d", 0o711)
    made.scan()
    return made


def test_a_tree_that_is_moved_is_still_itself(replica: Make) -> None:
    made = filled(replica)
    made.store.close()
    elsewhere = made.root.with_name("elsewhere")
    os.rename(made.root, elsewhere)
    made.root = elsewhere
    made.open()
    assert made.store.health() is None and made.store.scan(None) == [] and not made.store.lost


def test_a_tree_that_is_copied_to_another_place_is_still_itself(replica: Make) -> None:
    made = filled(replica)
    made.store.close()
    elsewhere = made.root.with_name("elsewhere")
    shutil.copytree(made.root, elsewhere)
    shutil.rmtree(made.root)
    made.root = elsewhere
    made.open()
    assert made.store.health() is None
    assert all(not seen.deleted for seen in made.store.scan(None))


def test_a_lost_state_is_noticed_until_the_tree_is_found_to_hold_nothing_more_than_others(replica: Make) -> None:
    made = filled(replica)
    assert not made.store.lost
    made.store.close()
    shutil.rmtree(made.state)
    made.open()
    assert made.store.lost
    made.scan()
    made.reopen()
    assert made.store.lost and made.store.together is None
    made.store.note_together(1_800_000_000)
    assert not made.store.lost
    made.reopen()
    assert not made.store.lost and made.store.together == 1_800_000_000


def test_a_new_tree_has_lost_nothing(replica: Make) -> None:
    made = replica("new")
    (made.root / "f").write_text("there before")
    made.scan()
    made.reopen()
    assert not made.store.lost


def test_what_is_set_aside_is_out_of_the_tree_and_kept_whole(replica: Make) -> None:
    made = filled(replica)
    (made.root / "d/untold").write_text("not scanned yet")
    (place,) = made.store.set_aside([TreePath(p) for p in (b"d", b"d/g", b"d/e", b"d/e/h", b"f")])
    assert sorted(os.listdir(made.root)) == [".l2sync"]
    assert (place / "d/e/h").read_text() == "content of d/e/h" and (place / "d/untold").exists()
    assert (place / "d").stat().st_mode & 0o7777 == 0o711
    made.reopen()
    assert [bytes(path) for path in made.entries] == [b""] and [s.path for s in made.store.scan(None)] == [b""]


def test_of_a_directory_that_stays_only_what_is_named_is_set_aside(replica: Make) -> None:
    made = filled(replica)
    (first,) = made.store.set_aside([TreePath(b"d/e/h"), TreePath(b"gone already")])
    (second,) = made.store.set_aside([TreePath(b"d/g")])
    assert (first / "d/e/h").exists() and (second / "d/g").exists() and first != second
    assert os.listdir(made.root / "d") == ["e"]
    assert all(not seen.deleted for seen in made.store.scan(None))


def test_forgotten_paths_are_unknown(replica: Make) -> None:
    made = filled(replica)
    os.unlink(made.root / "f")
    made.scan()
    made.store.forget([TreePath(b"f")])
    made.reopen()
    assert TreePath(b"f") not in made.entries and made.store.scan(None) == []


def in_two_generations(made: Replica, monkeypatch: pytest.MonkeyPatch) -> None:
    """Something is learned again and again, with minutes in between."""
    monkeypatch.setattr(guard, "GENERATION_S", 0.0)
    for number in range(2):
        (made.root / f"later{number}").write_text("later")
        made.scan()


def test_a_tree_that_returns_from_a_snapshot_is_held(replica: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    made = filled(replica)
    snapshot = made.root.with_name("snapshot")
    shutil.copytree(made.root, snapshot)
    in_two_generations(made, monkeypatch)
    shutil.rmtree(made.root)
    os.rename(snapshot, made.root)
    assert "earlier time" in (made.store.health() or "") and made.store.held
    with pytest.raises(Paused):
        made.store.scan(None)
    made.reopen()
    assert "earlier time" in (made.store.health() or "")
    made.store.accept()
    assert made.store.health() is None
    assert {bytes(seen.path) for seen in made.store.scan(None) if seen.deleted} == {b"later0", b"later1"}


def back_from_a_backup(made: Replica, meanwhile: Callable[[], object]) -> int:
    """The state directory is saved, something happens, and it is put back; the replica of before."""
    before = made.store.replica
    made.store.close()
    backup = made.state.with_name("backup")
    shutil.copytree(made.state, backup)
    made.open()
    meanwhile()
    made.store.close()
    shutil.rmtree(made.state)
    os.rename(backup, made.state)
    made.open()
    return before


def test_a_state_that_returns_from_a_backup_writes_under_another_number(
    replica: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = filled(replica)
    before = back_from_a_backup(made, lambda: in_two_generations(made, monkeypatch))
    assert made.store.outdated and made.store.replica != before and made.store.counter == 0
    made.scan()
    made.reopen()
    assert not made.store.outdated and made.store.health() is None and made.store.scan(None) == []


def test_a_state_that_returns_from_a_backup_of_a_moment_ago_is_known_too(replica: Make) -> None:
    made = filled(replica)

    def write_in_the_same_generation() -> None:
        (made.root / "later").write_text("later")
        made.scan()

    before = back_from_a_backup(made, write_in_the_same_generation)
    assert made.store.outdated and made.store.replica != before
    made.scan()
    made.reopen()
    assert not made.store.outdated


@pytest.mark.parametrize("noise", [b"", b"nonsense", b"0 x\n"])
def test_a_note_of_the_counter_that_says_nothing_is_passed_over(replica: Make, noise: bytes) -> None:
    made = filled(replica)
    (made.root / ".l2sync/written").write_bytes(noise)
    made.reopen()
    assert not made.store.outdated and made.store.health() is None


def test_a_crash_while_a_generation_begins_is_no_return_from_the_past(
    replica: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = filled(replica)
    in_two_generations(made, monkeypatch)
    mark = (made.root / ".l2sync/id").read_bytes()
    (made.root / "last").write_text("last")

    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(guard, "write_mark", crash)
    with pytest.raises(KeyboardInterrupt):
        made.scan()
    monkeypatch.undo()
    assert (made.root / ".l2sync/id").read_bytes() == mark
    made.reopen()
    assert made.store.health() is None and not made.store.outdated
    made.reopen()
    assert made.store.health() is None


def test_generations_do_not_come_faster_than_they_should(replica: Make) -> None:
    made = filled(replica)
    mark = (made.root / ".l2sync/id").read_bytes()
    (made.root / "f").write_text("changed")
    made.scan()
    assert made.store.health() is None and (made.root / ".l2sync/id").read_bytes() == mark
