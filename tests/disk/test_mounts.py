"""Real file systems that are full, read-only, unmounted and mounted again."""

from __future__ import annotations

import os
import random
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from l2sync.disk import Paused

from .conftest import Replica, differences

pytestmark = pytest.mark.root
Pair = tuple[Replica, Replica]


@pytest.fixture
def small(replica: Callable[..., Replica], tmp_path: Path) -> Iterator[Pair]:
    """A and B, whose tree is a file system of 3 MB."""
    (tmp_path / "b").mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "none", tmp_path / "b"], check=True)
    a, b = replica("a"), replica("b")
    try:
        (a.root / "f").write_text("old")
        b.scan()
        b.mirror(a)
        yield a, b
    finally:
        b.store.close()
        while os.path.ismount(b.root):
            subprocess.run(["umount", "-l", b.root], check=True)
        b.open()


def test_a_file_system_too_small_for_a_batch_pauses_until_there_is_room(small: Pair) -> None:
    a, b = small
    (b.root / "ballast").write_bytes(bytes(2 << 20))
    b.scan()
    (a.root / "f").write_text("new")
    for number in range(20):
        (a.root / f"part{number}").write_bytes(random.Random(number).randbytes(100_000))
    made = a.scan()
    with pytest.raises(Paused, match="no space"):
        b.receive(a, made)
    assert "no space" in (b.store.health() or "")
    assert (b.root / "f").read_text() == "old"
    subprocess.run(["mount", "-o", "remount,size=16m", b.root], check=True)
    assert b.store.health() is None
    assert b.store.scan(None) == []
    assert not b.receive(a, made).failed
    os.unlink(b.root / "ballast")
    b.scan()
    assert [line.split()[-1] for line in differences(a, b)] in ([], ["./"])


def test_a_file_too_large_for_the_file_system_holds_up_itself_alone(small: Pair) -> None:
    a, b = small
    (a.root / "f").write_text("new")
    (a.root / "big").write_bytes(random.Random(1).randbytes(4 << 20))
    key, entries = b.stage(a, a.scan())
    assert b.unstaged == {b"big": "no space for it: it needs 4.0 MiB, 3.0 MiB are free"}
    assert not b.commit(key, [entry for entry in entries if entry.path not in b.unstaged]).failed
    assert (b.root / "f").read_text() == "new" and b.store.health() is None


def test_a_file_that_fills_the_file_system_on_its_way_is_given_up_and_the_others_go_on(small: Pair) -> None:
    a, b = small
    subprocess.run(["mount", "-o", "remount,size=12m", b.root], check=True)
    (a.root / "f").write_text("new")
    (a.root / "big").write_bytes(random.Random(1).randbytes(9 << 20))
    made = a.scan()
    key, entries = b.prepare(made)
    (b.root / "ballast").write_bytes(bytes(6 << 20))
    b.deliver(a, key, entries)
    os.unlink(b.root / "ballast")
    result = b.commit(key, entries)
    assert result.failed == {b"big": "no space left for it"}
    assert (b.root / "f").read_text() == "new" and b.store.health() is None


def test_a_file_system_that_turns_read_only_pauses(small: Pair) -> None:
    a, b = small
    (a.root / "f").write_text("new")
    made = a.scan()
    subprocess.run(["mount", "-o", "remount,ro", b.root], check=True)
    assert "read-only" in (b.store.health() or "")
    with pytest.raises(Paused, match="read-only"):
        b.receive(a, made)
    subprocess.run(["mount", "-o", "remount,rw", b.root], check=True)
    assert b.store.health() is None
    assert not b.receive(a, made).failed
    assert differences(a, b) == []


@pytest.mark.parametrize("restarted", [False, True])
def test_an_unmounted_root_is_no_deletion(small: Pair, restarted: bool) -> None:
    a, b = small
    if restarted:
        b.store.close()
    subprocess.run(["umount", "-l", b.root], check=True)
    if restarted:
        b.open()
    for paths in (None, list(b.entries)):
        with pytest.raises(Paused, match="not marked"):
            b.store.scan(paths)
    with pytest.raises(Paused):
        b.receive(a, [e for e in a.entries.values() if e.path])
    assert os.listdir(b.root) == []


def test_another_tree_mounted_in_its_place_pauses(small: Pair, replica: Callable[..., Replica]) -> None:
    _, b = small
    other = replica("other")
    other.scan()
    subprocess.run(["mount", "--bind", other.root, b.root], check=True)
    with pytest.raises(Paused, match="mark of another tree"):
        b.store.scan(None)
    subprocess.run(["umount", b.root], check=True)
    assert b.store.scan(None) == []


def test_a_root_unmounted_during_a_batch_is_left_alone(small: Pair) -> None:
    a, b = small
    (a.root / "f").write_text("new")
    key, entries = b.stage(a, a.scan())
    subprocess.run(["umount", "-l", b.root], check=True)
    with pytest.raises(Paused):
        b.commit(key, entries)
    assert os.listdir(b.root) == []
    b.store.discard(key)
