"""File systems mounted within a tree: with `cross_mounts` they belong to it, and what goes with one is not deleted."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from l2sync.disk import NotCrossed
from l2sync.modtree import Kind, TreePath

from .conftest import Replica, differences

pytestmark = pytest.mark.root
Make = Callable[..., Replica]
Mount = Callable[..., Path]
Pair = tuple[Replica, Replica]
M = TreePath(b"m")


def umount(where: Path) -> None:
    subprocess.run(["umount", where], check=True)


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Mount]:
    """Mounts a tmpfs (or binds a directory) at a path beneath tmp_path."""
    made: list[Path] = []

    def make(where: Path, of: Path | None = None, size: str = "8m") -> Path:
        where.mkdir(parents=True, exist_ok=True)
        how = ["-t", "tmpfs", "-o", f"size={size}", "none"] if of is None else ["--bind", of]
        subprocess.run(["mount", *how, where], check=True)
        made.append(where)
        return where

    yield make
    for where in reversed(made):
        subprocess.run(["umount", "-l", where], check=False, capture_output=True)  # a bind mount does not look like one


@pytest.fixture
def crossing(replica: Make, mount: Mount, tmp_path: Path) -> Pair:
    """A, and B that has a file system at m; both have m/d/f and g."""
    a = replica("a")
    mount(tmp_path / "b/m")
    b = replica("b", cross_mounts=True)
    b.scan()
    (a.root / "m/d").mkdir(parents=True)
    (a.root / "m/d/f").write_text("inside")
    (a.root / "g").write_text("outside")
    assert not b.mirror(a).failed
    assert same(a, b)
    return a, b


def same(a: Replica, b: Replica) -> bool:
    lines = [line for line in differences(a, b) if ".l2sync/" not in line]
    return lines == []


def deleted(b: Replica, *paths: bytes) -> set[bytes]:
    return {entry.path for entry in b.scan(*paths) if entry.kind is Kind.TOMBSTONE}


def test_what_is_in_a_mounted_file_system_is_kept_in_sync_both_ways(crossing: Pair) -> None:
    a, b = crossing
    assert os.stat(b.root / "m/d/f").st_dev != os.stat(b.root).st_dev
    (b.root / "m/d/f").write_text("changed there")
    (b.root / "m/new").write_text("made there")
    os.setxattr(b.root / "m/new", "user.x", b"1")
    assert not a.receive(b, b.scan()).failed
    os.unlink(a.root / "m/new")
    (a.root / "m/d/f").chmod(0o600)
    assert not b.mirror(a).failed
    assert same(a, b) and b.scan() == [] and not (b.root / "m/new").exists()
    assert os.listdir(b.root / "m/.l2sync/staging") == [], "nothing is left of the staging"


def test_what_moves_between_file_systems_is_copied(crossing: Pair) -> None:
    a, b = crossing
    (a.root / "m/d").rename(a.root / "d")
    (a.root / "g").rename(a.root / "m/g")
    (a.root / "link").symlink_to("m/g")
    assert not b.mirror(a).failed
    assert same(a, b) and b.scan() == []
    (a.root / "m/g").rename(a.root / "m/h")
    assert not b.mirror(a).failed
    assert same(a, b)


@pytest.mark.parametrize("what", ["all", "inside", "itself", "above"])
@pytest.mark.parametrize("restarted", [False, True])
def test_what_goes_with_a_mount_is_no_deletion(
    crossing: Pair, mount: Mount, tmp_path: Path, what: str, restarted: bool
) -> None:
    a, b = crossing
    mount(tmp_path / "kept", of=b.root / "m")
    if restarted:
        b.store.close()
    umount(b.root / "m")
    (b.root / "m/stray").write_text("written to the empty mount point")
    os.chmod(b.root / "m", 0o711)
    if restarted:
        b.open()
    paths = {"all": (), "inside": (b"m/d/f", b"m/d"), "itself": (b"m",), "above": (b"",)}[what]
    assert b.scan(*paths) == []
    assert "is not: mount it, or say with `l2sync approve tree:m`" in b.store.unreadable[M]
    (a.root / "m/d/f").write_text("changed meanwhile")
    (a.root / "m/new").write_text("made meanwhile")
    made = a.scan()
    key, entries = b.prepare(made)
    b.deliver(a, key, entries)
    assert {b"m/d/f", b"m/new"} <= b.commit(key, [e for e in entries if e.path != b"m"]).failed.keys()
    assert os.listdir(b.root / "m") == ["stray"]
    os.unlink(b.root / "m/stray")
    mount(b.root / "m", of=tmp_path / "kept")
    assert b.scan() == [] and M not in b.store.unreadable
    assert not b.receive(a, [entry for entry in made if entry.path != b"m"]).failed
    assert (b.root / "m/d/f").read_text() == "changed meanwhile"


def test_the_mount_point_may_go_as_well(crossing: Pair, mount: Mount) -> None:
    _, b = crossing
    mount(b.root / "p/n")
    (b.root / "p/n/f").write_text("x")
    (b.root / "p/g").write_text("x")
    b.scan()
    umount(b.root / "p/n")
    subprocess.run(["rm", "-r", b.root / "p"], check=True)
    assert deleted(b) == {b"p/g"}, "the directories that it was in stay known with it"
    (b.root / "p").write_text("a file stands there now")
    assert deleted(b, b"p") == set() == deleted(b)
    assert "does not come back" in (b.store.allow_mount(TreePath(b"p/n")) or "")
    assert deleted(b) == {b"p/n", b"p/n/f"}


def test_an_administrator_says_that_a_mount_does_not_come_back(crossing: Pair) -> None:
    _, b = crossing
    umount(b.root / "m")
    b.scan()
    assert b.store.allow_mount(TreePath(b"m/d")) is None, "nothing is asked of that"
    assert "does not come back" in (b.store.allow_mount(M) or "")
    assert deleted(b) == {b"m/d", b"m/d/f"} and M not in b.store.unreadable


def test_a_file_system_mounted_over_entries_is_left_alone_until_it_is_gone_or_wanted(
    crossing: Pair, mount: Mount
) -> None:
    a, b = crossing
    (a.root / "m2").mkdir()
    (a.root / "m2/f").write_text("on the root's")
    b.mirror(a)
    mount(b.root / "m2")
    (b.root / "m2/other").write_text("on the new one")
    assert b.scan() == [] == b.scan(b"m2/f", b"m2/other", b"m2")
    assert "is mounted over 1 entries" in b.store.unreadable[TreePath(b"m2")]
    umount(b.root / "m2")
    assert b.scan() == [] and TreePath(b"m2") not in b.store.unreadable
    mount(b.root / "m2")
    (b.root / "m2/other").write_text("on the new one")
    b.scan()
    assert "belongs to the tree" in (b.store.allow_mount(TreePath(b"m2")) or "")
    assert {entry.path for entry in b.scan()} == {b"m2", b"m2/f", b"m2/other"}
    b.reopen()
    assert b.scan() == []


def test_another_file_system_in_its_place_is_not_taken_for_it(crossing: Pair, mount: Mount) -> None:
    _, b = crossing
    umount(b.root / "m")
    mount(b.root / "m")
    assert b.scan() == [] and "another file system than before" in b.store.unreadable[M]
    assert not (b.root / "m/.l2sync").exists()


def test_one_that_moves_takes_what_is_in_it_along(crossing: Pair, mount: Mount, tmp_path: Path) -> None:
    a, b = crossing
    mount(tmp_path / "kept", of=b.root / "m")
    umount(b.root / "m")
    mount(b.root / "elsewhere", of=tmp_path / "kept")
    os.utime(b.root / "elsewhere")
    assert deleted(b) == {b"m/d", b"m/d/f"}
    assert not b.store.unreadable and TreePath(b"elsewhere/d/f") in b.entries
    a.receive(b, list(b.entries.values()))
    assert (a.root / "elsewhere/d/f").read_text() == "inside" and not (a.root / "m/d").exists()


def test_without_the_option_what_belonged_to_the_tree_is_not_deleted_either(crossing: Pair, mount: Mount) -> None:
    _, b = crossing
    b.store.close()
    b.options = type(b.options)()
    b.open()
    assert b.scan() == [] and M in b.store.unreadable
    umount(b.root / "m")
    assert b.scan() == [] and M in b.store.unreadable
    mount(b.root / "other")
    (b.root / "other/f").write_text("not crossed")
    assert [entry.path for entry in b.scan()] == [b""], "its time alone"
    assert TreePath(b"other") not in b.store.unreadable
    assert "not part of the tree" in (b.store.explain(TreePath(b"other/f")).error or "")


def test_what_is_no_file_system_of_its_own_or_another_tree_is_not_crossed(
    crossing: Pair, replica: Make, mount: Mount, tmp_path: Path
) -> None:
    _, b = crossing
    (b.root / "real").mkdir()
    mount(b.root / "bound", of=b.root / "real")
    mount(b.root / "loop", of=b.root)
    mount(tmp_path / "inner")
    inner = replica("inner")
    (inner.root / "f").write_text("of the inner tree")
    inner.scan()
    mount(b.root / "inner", of=inner.root)
    (b.root / "real/f").write_text("once")
    assert {entry.path for entry in b.scan()} == {b"", b"real", b"real/f"}
    assert b.store.unreadable == {TreePath(b"inner"): "the root of another tree is mounted here"}
    with pytest.raises(NotCrossed):
        b.store.allow_mount(TreePath(b"inner"))
    assert inner.scan() == []
    inner.store.close()


def test_hard_links_do_not_cross(crossing: Pair) -> None:
    a, b = crossing
    os.link(a.root / "m/d/f", a.root / "m/second")
    os.link(a.root / "m/d/f", a.root / "third")
    result = b.mirror(a)
    (lonely,) = result.failed
    assert "hard links do not cross" in result.failed[lonely] and lonely in (b"third", b"m/d/f", b"m/second")
    assert deleted(b) == set()


def test_a_full_file_system_holds_up_what_is_for_it_alone(replica: Make, mount: Mount, tmp_path: Path) -> None:
    a = replica("a")
    mount(tmp_path / "b/m", size="1m")
    b = replica("b", cross_mounts=True)
    b.scan()
    (a.root / "m").mkdir()
    (a.root / "m/big").write_bytes(os.urandom(3 << 20))
    (a.root / "beside").write_text("x")
    key, entries = b.stage(a, a.scan())
    assert b.unstaged.keys() == {b"m/big"} and "no space" in b.unstaged[TreePath(b"m/big")]
    assert not b.commit(key, [entry for entry in entries if entry.path != b"m/big"]).failed
    assert (b.root / "beside").exists() and b.store.health() is None


def test_one_that_turns_read_only_holds_up_what_is_for_it_alone(crossing: Pair) -> None:
    a, b = crossing
    (a.root / "m/d/f").write_text("new")
    (a.root / "g").write_text("new")
    made = a.scan()
    subprocess.run(["mount", "-o", "remount,ro", b.root / "m"], check=True)
    key, entries = b.stage(a, made)
    assert b.unstaged.keys() == {b"m/d/f"} and "ead-only" in b.unstaged[TreePath(b"m/d/f")]
    assert not b.commit(key, [entry for entry in entries if entry.path == b"g"]).failed
    assert b.store.health() is None
    subprocess.run(["mount", "-o", "remount,rw", b.root / "m"], check=True)
    assert not b.receive(a, made).failed and same(a, b)


def test_what_is_replaced_in_a_mounted_file_system_is_kept(replica: Make, mount: Mount, tmp_path: Path) -> None:
    a = replica("a")
    mount(tmp_path / "b/m")
    b = replica("b", cross_mounts=True, keep_versions_ns=10**15)
    b.scan()
    (a.root / "m").mkdir()
    (a.root / "m/f").write_text("first")
    b.mirror(a)
    (a.root / "m/f").write_text("second")
    b.mirror(a)
    (kept,) = b.store.versions()
    assert (b.root / os.fsdecode(kept.place)).read_text() == "first"
    b.store.restore(TreePath(b"m/f"), None)
    assert (b.root / "m/f").read_text() == "first"


def test_the_agents_own_directory_there_is_taken_from_nobody(crossing: Pair) -> None:
    a, b = crossing
    (a.root / "m/.l2sync").mkdir()
    (a.root / "m/.l2sync/id").write_text("forged")
    key, entries = b.stage(a, a.scan())
    assert b.unstaged.keys() == {b"m/.l2sync/id"}
    assert b.commit(key, entries).failed.keys() == {b"m/.l2sync", b"m/.l2sync/id"}
    assert (b.root / "m/.l2sync/id").read_text().startswith("within ")


def test_a_batch_is_put_aside_when_its_file_system_goes(crossing: Pair) -> None:
    a, b = crossing
    (a.root / "m/d/f").write_text("new")
    key, entries = b.stage(a, a.scan())
    subprocess.run(["umount", "-l", b.root / "m"], check=True)
    assert b.commit(key, entries).failed.keys() == {b"m/d/f"}
    assert os.listdir(b.root / "m") == []
    assert b.scan() == []
