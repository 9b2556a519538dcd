"""FIFOs and device nodes, where a tree is to keep them; and what nobody may read or write."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from l2sync.modtree import Kind, TreePath

from .conftest import Replica, differences

pytestmark = pytest.mark.root
Pair = tuple[Replica, Replica]


@pytest.fixture
def special(replica: Callable[..., Replica]) -> Pair:
    a, b = replica("a", devices=True), replica("b", devices=True)
    b.scan()
    return a, b


def fill(root: Path) -> None:
    os.mkfifo(root / "pipe", 0o640)
    os.chown(root / "pipe", 5, 6)
    os.mknod(root / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    os.mknod(root / "disk", stat.S_IFBLK | 0o4660, os.makedev(4095, 1 << 19))
    os.setxattr(root / "disk", b"trusted.x", b"y")
    os.link(root / "pipe", root / "pipe2")


def test_they_arrive(special: Pair) -> None:
    a, b = special
    fill(a.root)
    result = b.mirror(a)
    assert not result.failed and not result.changed
    assert os.stat(b.root / "disk").st_rdev == os.makedev(4095, 1 << 19)
    assert os.stat(b.root / "pipe").st_ino == os.stat(b.root / "pipe2").st_ino
    assert differences(a, b) == [] and a.store.scan(None) == b.store.scan(None) == []


def test_they_change(special: Pair) -> None:
    a, b = special
    fill(a.root)
    b.mirror(a)
    os.unlink(a.root / "null")
    os.mknod(a.root / "null", stat.S_IFCHR | 0o666, os.makedev(1, 5))
    os.unlink(a.root / "disk")
    (a.root / "disk").write_text("a file")
    os.chmod(a.root / "pipe", 0o600)
    os.rename(a.root / "pipe2", a.root / "pipe3")
    b.mirror(a)
    assert differences(a, b) == [] and b.store.scan(None) == []


def test_an_unwanted_one_is_refused_with_the_options_name(special: Pair, replica: Callable[..., Replica]) -> None:
    a, _ = special
    c = replica("c")
    c.scan()
    fill(a.root)
    (a.root / "f").write_text("f")
    result = c.mirror(a)
    assert sorted(result.failed) == [b"disk", b"null", b"pipe", b"pipe2"]
    assert "devices" in result.failed[TreePath(b"null")]
    assert (c.root / "f").read_text() == "f" and c.store.scan(None) == []


def test_switching_the_option_off_deletes_nothing(special: Pair) -> None:
    a, _ = special
    fill(a.root)
    a.scan()
    a.store.close()
    a.options = type(a.options)()
    a.open()
    assert a.scan() == []
    (a.root / "pipe").unlink()
    assert [(e.path, e.kind) for e in a.scan() if e.path] == [(b"pipe", Kind.TOMBSTONE)]


def test_sockets_are_never_kept(special: Pair) -> None:
    a, _ = special
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(os.fspath(a.root / "s"))
        assert [entry.path for entry in a.scan()] == [b""]


def test_what_nobody_may_read_or_write_is_kept_and_changed(pair: Pair) -> None:
    a, b = pair
    (a.root / "d" / "e").mkdir(parents=True)
    (a.root / "d" / "secret").write_text("old")
    (a.root / "d" / "e" / "f").write_text("f")
    os.chmod(a.root / "d" / "secret", 0)
    os.chmod(a.root / "d" / "e", 0)
    os.chmod(a.root / "d", 0o555)
    b.mirror(a)
    assert differences(a, b) == [] and b.store.scan(None) == []
    (a.root / "d" / "secret").write_text("new")
    os.rename(a.root / "d" / "e" / "f", a.root / "d" / "g")
    b.mirror(a)
    assert differences(a, b) == [] and b.store.scan(None) == []
    assert os.stat(b.root / "d" / "secret").st_mode & 0o777 == 0
