"""A fault of one file is told with its reason, and holds up no other file."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from l2sync.disk import placing
from l2sync.modtree import TreePath

from .conftest import Replica

Pair = tuple[Replica, Replica]


def fill(a: Replica, *names: str) -> None:
    for name in names:
        (a.root / name).parent.mkdir(exist_ok=True)
        (a.root / name).write_text(f"{name} on a")


def failing(error: int, real: Callable[..., object], when: Callable[..., bool]) -> Callable[..., object]:
    def call(*arguments: object, **named: object) -> object:
        if when(*arguments):
            raise OSError(error, os.strerror(error))
        return real(*arguments, **named)

    return call


def test_a_name_that_the_file_system_does_not_take(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = pair
    long = "x" * 200
    fill(a, "short", f"{long}/below")
    too_long = failing(errno.ENAMETOOLONG, placing.rename_beneath, lambda old, there, new, *_: len(new) > 143)
    monkeypatch.setattr(placing, "rename_beneath", too_long)
    result = b.mirror(a)
    assert result.failed == {
        long.encode(): "File name too long",
        f"{long}/below".encode(): "the directory above it could not be made: File name too long",
    }
    assert (b.root / "short").exists() and not result.changed


def test_a_file_that_cannot_be_written(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = pair
    fill(a, "good")
    (a.root / "bad").write_bytes(os.urandom(300_000))
    size = (a.root / "bad").stat().st_size
    monkeypatch.setattr(os, "pwrite", failing(errno.EIO, os.pwrite, lambda fd, data, at: size - at <= len(data)))
    key, entries = b.stage(a, [entry for entry in a.scan() if entry.path])
    monkeypatch.undo()
    result = b.commit(key, entries)
    assert result.failed == {b"bad": "Input/output error"}
    assert b.store.health() is None


def test_a_known_file_that_cannot_be_read_any_more(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    a, _ = pair
    fill(a, "bad", "good")
    made = {entry.path: entry for entry in a.scan()}
    chunks = [(TreePath(path), made[TreePath(path)].chunk_list()[0]) for path in (b"bad", b"good")]
    wanted = [(number, path, 0, chunk.length, chunk.hash) for number, (path, chunk) in enumerate(chunks)]
    bad = (a.root / "bad").stat().st_ino
    monkeypatch.setattr(os, "pread", failing(errno.EIO, os.pread, lambda fd, *_: os.fstat(fd).st_ino == bad))
    assert a.store.read_chunks(wanted) == [(0, None), (1, b"good on a")]
    assert a.store.unreadable == {b"bad": "Input/output error"}
    assert a.scan(b"bad") == [] and a.store.unreadable == {b"bad": "Input/output error"}
    monkeypatch.undo()
    assert a.scan(b"bad") == [] and a.store.unreadable == {}


def test_a_file_that_is_gone_is_not_called_unreadable(pair: Pair) -> None:
    a, _ = pair
    fill(a, "gone")
    made = {entry.path: entry for entry in a.scan()}
    os.unlink(a.root / "gone")
    (chunk,) = made[TreePath(b"gone")].chunk_list()
    assert a.store.read_chunks([(0, TreePath(b"gone"), 0, chunk.length, chunk.hash)]) == [(0, None)]
    assert a.store.unreadable == {}


@pytest.fixture
def ext4(tmp_path: Path) -> Iterator[Path]:
    """A small file system that knows the immutable flag, mounted at B's root."""
    image, root = tmp_path / "image", tmp_path / "b"
    root.mkdir()
    with open(image, "wb") as file:
        file.truncate(8 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-m", "0", image], check=True)
    subprocess.run(["mount", "-o", "loop", image, root], check=True)
    os.rmdir(root / "lost+found")
    yield root
    subprocess.run(["chattr", "-R", "-i", root], check=False, capture_output=True)
    subprocess.run(["umount", "-l", root], check=True)


@pytest.mark.root
@pytest.mark.slow
def test_what_is_immutable_stays_as_it_is_and_the_others_go_on(ext4: Path, replica: Callable[..., Replica]) -> None:
    a, b = replica("a"), replica("b")
    b.scan()
    fill(a, "file", "dir/inside", "good", "gone")
    b.mirror(a)
    for name in ("file", "gone", "dir"):
        subprocess.run(["chattr", "+i", b.root / name], check=True)
    fill(a, "dir/new")
    for name in ("file", "dir/inside", "good"):
        (a.root / name).write_text("newer")
    os.unlink(a.root / "gone")
    made = a.scan()
    result = b.receive(a, made)
    assert result.failed.keys() == {b"file", b"gone", b"dir", b"dir/new", b"dir/inside"} and not result.changed
    assert set(result.failed.values()) == {"Operation not permitted"}
    assert (b.root / "good").read_text() == "newer" and (b.root / "file").read_text() == "file on a"
    subprocess.run(["chattr", "-R", "-i", b.root], check=True)
    again = b.receive(a, [entry for entry in made if entry.path in result.failed])
    assert not again.failed and not again.changed and (b.root / "file").read_text() == "newer"
