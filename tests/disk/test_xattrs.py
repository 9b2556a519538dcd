"""Extended attributes and access control lists: kept on every node, and no hindrance where a file system has none."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from l2sync.disk.xattrs import ACCESS_ACL, CAPABILITY, Xattrs
from l2sync.modtree import Entry, Kind, TreePath

from .conftest import Replica, differences

Pair = tuple[Replica, Replica]
NET_BIND = bytes.fromhex("0100000200040000000000000000000000000000")
pytestmark = pytest.mark.root


def acl(*rules: str, on: Path) -> None:
    subprocess.run(["setfacl", "-m", ",".join(rules), on], check=True)


def fill(root: Path) -> None:
    (root / "d").mkdir()
    (root / "d" / "tool").write_text("#!")
    os.chown(root / "d" / "tool", 12, 34)
    os.chmod(root / "d" / "tool", 0o4755)
    os.setxattr(root / "d" / "tool", CAPABILITY, NET_BIND)
    os.setxattr(root / "d" / "tool", b"user.note\xff", b"with\0nul")
    os.setxattr(root / "d" / "tool", b"trusted.t", b"")
    acl("u:1234:rw", "g:77:r", on=root / "d" / "tool")
    acl("u:99:rwx", "d:u:99:rwx", "d:o::-", on=root / "d")
    os.setxattr(root / "d", b"user.dir", b"x" * 1000)
    os.symlink("nowhere", root / "link")
    os.setxattr(root / "link", b"trusted.link", b"l", follow_symlinks=False)
    os.setxattr(root, b"user.root", b"r")
    (root / "empty").touch()
    os.setxattr(root / "empty", b"user.e", b"1")


def test_attributes_and_access_lists_arrive(pair: Pair) -> None:
    a, b = pair
    fill(a.root)
    result = b.mirror(a)
    assert not result.changed and not result.failed
    assert differences(a, b) == []
    assert os.getxattr(b.root / "d" / "tool", CAPABILITY) == NET_BIND
    assert os.stat(b.root / "d" / "tool").st_mode & 0o7000 == 0o4000
    assert os.getxattr(b.root, b"user.root") == b"r"
    assert os.getxattr(b.root / "link", b"trusted.link", follow_symlinks=False) == b"l"
    assert a.store.scan(None) == b.store.scan(None) == []


def test_a_change_of_attributes_alone_is_found_and_costs_no_chunk(pair: Pair) -> None:
    a, b = pair
    fill(a.root)
    b.mirror(a)
    os.setxattr(a.root / "d" / "tool", b"user.note\xff", b"other")
    os.removexattr(a.root / "empty", b"user.e")
    os.removexattr(a.root / "d", b"system.posix_acl_default")
    acl("u:1234:x", on=a.root / "d" / "tool")
    os.setxattr(a.root / "link", b"trusted.link", b"m", follow_symlinks=False)
    inode = os.stat(b.root / "d" / "tool").st_ino
    entries = a.scan(b"d/tool", b"empty", b"d", b"link")
    assert sorted(entry.path for entry in entries) == [b"d", b"d/tool", b"empty", b"link"]
    b.receive(a, entries)
    assert b.missing == [] and os.stat(b.root / "d" / "tool").st_ino == inode
    assert differences(a, b) == []
    assert b.store.scan(None) == []


def test_a_new_owner_does_not_cost_the_capability(pair: Pair) -> None:
    a, b = pair
    fill(a.root)
    b.mirror(a)
    os.chown(a.root / "d" / "tool", 56, 78)
    os.chmod(a.root / "d" / "tool", 0o4755)
    os.setxattr(a.root / "d" / "tool", CAPABILITY, NET_BIND)
    b.mirror(a)
    assert differences(a, b) == []
    assert os.getxattr(b.root / "d" / "tool", CAPABILITY) == NET_BIND


def test_a_directory_that_others_come_and_go_in_is_no_news(pair: Pair) -> None:
    a, b = pair
    fill(a.root)
    b.mirror(a)
    (a.root / "d" / "more").touch()
    (a.root / "d" / "more").unlink()
    os.utime(a.root / "d", ns=(0, b.entries[TreePath(b"d")].mtime_ns))
    assert a.scan(b"d/more") == []


def test_what_the_roots_default_list_gives_to_new_files_is_taken_away_again(pair: Pair) -> None:
    a, b = pair
    acl("d:u:55:rwx", on=b.root)
    (b.root / ".l2sync").exists()
    subprocess.run(["setfacl", "-R", "-m", "d:u:55:rwx", b.root / ".l2sync"], check=True)
    (a.root / "f").write_text("f")
    (a.root / "d").mkdir()
    b.mirror(a)
    assert os.listxattr(b.root / "f") == [] and os.listxattr(b.root / "d") == []


def test_a_directory_comes_back_with_its_access_list(pair: Pair) -> None:
    a, _ = pair
    fill(a.root)
    a.scan()
    subprocess.run(["rm", "-r", a.root / "d"], check=True)
    (gone,) = (entry for entry in a.scan() if entry.path == b"d")
    assert gone.deleted and ACCESS_ACL in dict(gone.xattrs)


class Poor(Xattrs):
    """A file system that keeps no attributes of some namespaces."""


@pytest.fixture
def poor(monkeypatch: pytest.MonkeyPatch) -> Callable[[Replica], None]:
    def make(one: Replica) -> None:
        system = one.store._guard.check().home
        monkeypatch.setattr(system, "_xattrs", Poor(frozenset({b"user."}), frozenset()))

    return make


def test_what_a_file_system_cannot_keep_is_carried_and_told_on(pair: Pair, poor: Callable[[Replica], None]) -> None:
    a, b = pair
    poor(b)
    fill(a.root)
    result = b.mirror(a)
    assert not result.failed and not result.changed
    assert os.listxattr(b.root / "d" / "tool") == [os.fsdecode(b"user.note\xff")]
    assert b.store.scan(None) == []
    (b.root / "d" / "tool").write_text("edited")
    (edited,) = b.scan()
    assert dict(edited.xattrs)[CAPABILITY] == NET_BIND and dict(edited.xattrs)[b"trusted.t"] == b""
    a.receive(b, [edited])
    assert os.getxattr(a.root / "d" / "tool", CAPABILITY) == NET_BIND
    assert (a.root / "d" / "tool").read_text() == "edited"


def test_attributes_that_find_no_room_fail_for_that_file_alone(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = pair
    (a.root / "big").write_text("big")
    (a.root / "small").write_text("small")
    real = os.setxattr
    os.setxattr(a.root / "big", b"user.big", b"b" * 100)

    def full(file: int | bytes, attribute: bytes, value: bytes, **more: bool) -> None:
        if len(value) == 100:
            raise OSError(28, "No space left on device")
        real(file, attribute, value, **more)

    entries = a.scan()
    monkeypatch.setattr(os, "setxattr", full)
    prepared = b.store.prepare((1, 1), entries, [c for e in entries for c in e.chunk_list()])
    wanted = [(n, TreePath(e.path), 0, e.size, e.chunks[:32]) for n, e in enumerate(e for e in entries if e.chunks)]
    assert b.store.health() is None
    assert prepared.missing
    b.store.store((1, 1), [(n, data) for n, data in a.store.read_chunks(wanted) if data is not None])
    result = b.commit((1, 1), entries)
    assert list(result.failed) == [b"big"] and "no room" in result.failed[TreePath(b"big")]
    assert (b.root / "small").read_text() == "small"


def test_a_probe_leaves_nothing_behind(tmp_path: Path) -> None:
    fd = os.open(tmp_path, os.O_RDONLY)
    try:
        found = Xattrs.probe(fd)
        assert found.keeps(b"user.x") and found.keeps(ACCESS_ACL) and found.keeps(CAPABILITY)
        assert found.lacking == [] and os.listxattr(fd) == []
    finally:
        os.close(fd)


def test_kinds_without_a_directory_keep_no_attributes_in_death(pair: Pair) -> None:
    a, _ = pair
    fill(a.root)
    a.scan()
    os.unlink(a.root / "empty")
    gone: list[Entry] = [entry for entry in a.scan() if entry.path == b"empty"]
    assert [(entry.kind, entry.xattrs) for entry in gone] == [(Kind.TOMBSTONE, ())]
