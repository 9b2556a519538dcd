"""A tree seen by one store and made by another is the same tree."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from l2sync.disk import TreeOptions
from l2sync.disk.index import Index
from l2sync.modtree import Kind, TreePath

from .conftest import Replica, differences

Pair = tuple[Replica, Replica]


def fill(root: Path) -> None:
    (root / "docs").mkdir()
    (root / "docs" / "empty").touch()
    (root / "docs" / "text").write_text("hello")
    os.chmod(root / "docs" / "text", 0o4751)
    os.chown(root / "docs" / "text", 1234, 4321)
    os.chmod(root / "docs" / "text", 0o4751)
    (root / "deep" / "er" / "est").mkdir(parents=True)
    (root / "deep" / "er" / "big").write_bytes(random.Random(1).randbytes(300_000))
    os.symlink("../docs/text", root / "deep" / "link")
    os.utime(root / "deep" / "link", ns=(5, 123_456_789_012_345_678), follow_symlinks=False)
    os.chown(root / "deep" / "link", 77, 78, follow_symlinks=False)
    (Path(os.fsdecode(os.fsencode(root) + b"/\xff\xfe\nname"))).write_text("odd")
    os.chmod(root / "deep" / "er", 0o2750)
    os.utime(root / "deep" / "er", ns=(1, 987_654_321_000_000_001))
    os.utime(root / "docs" / "text", ns=(1, -5_000_000_001))
    os.chmod(root, 0o751)
    os.utime(root, ns=(1, 1_000_000_000_000_000_007))


def test_a_tree_arrives_with_all_attributes(pair: Pair) -> None:
    a, b = pair
    fill(a.root)
    result = b.mirror(a)
    assert not result.changed and not result.failed
    assert differences(a, b) == []
    assert os.stat(b.root).st_mtime_ns == os.stat(a.root).st_mtime_ns
    link = os.lstat(b.root / "deep" / "link")
    assert (link.st_mtime_ns, link.st_uid, link.st_gid) == (123_456_789_012_345_678, 77, 78)
    assert os.lstat(b.root / "docs" / "text").st_mtime_ns == -5_000_000_001


def test_what_was_committed_is_no_news_to_the_scan(pair: Pair) -> None:
    a, b = pair
    fill(a.root)
    b.mirror(a)
    assert b.store.scan(None) == []
    assert b.store.scan([TreePath(b"docs/text"), TreePath(b""), TreePath(b"deep/er")]) == []
    assert a.store.scan(None) == []
    b.reopen()
    assert b.store.scan(None) == []


def change(root: Path) -> None:
    (root / "docs" / "text").write_text("other")
    (root / "docs" / "new").write_text("new")
    shutil.rmtree(root / "deep" / "er" / "est")
    os.rename(root / "deep" / "er" / "big", root / "docs" / "moved")
    os.unlink(root / "deep" / "link")
    (root / "deep" / "link").mkdir()
    (root / "deep" / "link" / "inner").write_text("in")


def test_changes_arrive_too(pair: Pair) -> None:
    a, b = pair
    fill(a.root)
    b.mirror(a)
    change(a.root)
    result = b.mirror(a)
    assert not result.changed and not result.failed
    assert differences(a, b) == []
    assert b.store.scan(None) == []


def test_changes_are_found_by_their_paths_alone(pair: Pair) -> None:
    a, b = pair
    fill(a.root)
    b.mirror(a)
    change(a.root)
    paths = [b"docs/text", b"docs/new", b"deep/er/est", b"deep/er/big", b"docs/moved", b"deep/link"]
    result = b.receive(a, a.scan(*paths))
    assert not result.changed and not result.failed
    assert differences(a, b) == []
    assert a.store.scan(None) == []


def test_a_renamed_file_costs_no_chunk(pair: Pair) -> None:
    a, b = pair
    fill(a.root)
    b.mirror(a)
    inode = os.stat(b.root / "deep/er/big").st_ino
    os.rename(a.root / "deep/er/big", a.root / "renamed")
    b.mirror(a)
    assert b.missing == []
    assert os.stat(b.root / "renamed").st_ino == inode
    assert differences(a, b) == []
    assert b.store.scan(None) == []


def test_files_that_swap_names_swap_them(pair: Pair) -> None:
    a, b = pair
    (a.root / "x").write_text("one")
    (a.root / "y").write_text("two")
    b.mirror(a)
    os.rename(a.root / "x", a.root / "z")
    os.rename(a.root / "y", a.root / "x")
    os.rename(a.root / "z", a.root / "y")
    b.mirror(a)
    assert b.missing == []
    assert (b.root / "x").read_text() == "two" and (b.root / "y").read_text() == "one"
    assert differences(a, b) == []


def test_of_a_changed_file_only_the_changed_chunk_is_missing(pair: Pair) -> None:
    a, b = pair
    data = bytearray(random.Random(2).randbytes(1_000_000))
    (a.root / "f").write_bytes(data)
    b.mirror(a)
    assert len(b.missing) == 8
    data[500_000] ^= 1
    (a.root / "f").write_bytes(data)
    b.mirror(a)
    assert len(b.missing) == 1
    assert differences(a, b) == []


def test_kinds_change_in_both_directions(pair: Pair) -> None:
    a, b = pair
    (a.root / "d").mkdir()
    (a.root / "d" / "x").write_text("x")
    (a.root / "f").write_text("f")
    b.mirror(a)
    os.rename(a.root / "d" / "x", a.root / "t")
    (a.root / "d").rmdir()
    os.rename(a.root / "t", a.root / "d")
    os.rename(a.root / "f", a.root / "t")
    (a.root / "f").mkdir()
    os.rename(a.root / "t", a.root / "f" / "f")
    result = b.mirror(a)
    assert not result.changed and not result.failed
    assert b.missing == []
    assert differences(a, b) == []
    assert b.store.scan(None) == []


def test_a_rewritten_file_does_not_touch_its_directory(pair: Pair) -> None:
    a, b = pair
    (a.root / "d").mkdir()
    (a.root / "d" / "f").write_text("1")
    b.mirror(a)
    (a.root / "d" / "f").write_text("2")
    assert [entry.path for entry in a.scan()] == [b"d/f"]
    b.receive(a, [a.entries[TreePath(b"d/f")]])
    assert differences(a, b) == []


def test_other_kinds_are_left_out(pair: Pair) -> None:
    a, b = pair
    os.mkfifo(a.root / "pipe")
    (a.root / "f").write_text("f")
    b.mirror(a)
    assert sorted(os.listdir(b.root)) == [".l2sync", "f"]
    os.mkfifo(b.root / "g")
    (a.root / "g").write_text("g")
    assert b.mirror(a).failed == {TreePath(b"g"): "something that is not kept in sync stands there"}


def test_what_is_ignored_is_neither_seen_nor_missed(replica: Callable[..., Replica]) -> None:
    a = replica("a", ignore=("*.o",))
    (a.root / "x.o").write_text("x")
    (a.root / "x.c").write_text("x")
    assert [entry.path for entry in a.scan()] == [b"", b"x.c"]
    (a.root / ".l2syncignore").write_text("*.c\nbuild/\n")
    (a.root / "build").mkdir()
    (a.root / "build" / "y").touch()
    assert [entry.path for entry in a.scan(b".l2syncignore")] == [b"", b".l2syncignore"]
    os.unlink(a.root / "x.c")
    assert [entry.path for entry in a.scan()] == [b""]
    assert a.scan(b"build/y", b"build", b"x.o") == []


def test_the_new_version_of_a_growing_file_keeps_its_chunks(pair: Pair) -> None:
    a, b = pair
    (a.root / "log").write_bytes(random.Random(3).randbytes(400_000))
    b.mirror(a)
    with open(a.root / "log", "ab") as log:
        log.write(b"more")
    b.mirror(a)
    assert len(b.missing) == 1
    assert differences(a, b) == []


def test_a_chunk_is_read_only_while_it_is_there(pair: Pair) -> None:
    a, _ = pair
    (a.root / "f").write_text("hello")
    a.scan()
    digest = a.entries[TreePath(b"f")].chunk_list()[0].hash
    wanted = [(3, TreePath(b"f"), 0, 5, digest), (4, TreePath(b"gone"), 0, 5, digest)]
    assert a.store.read_chunks(wanted) == [(3, b"hello"), (4, None)]
    (a.root / "f").write_text("hullo")
    assert a.store.read_chunks(wanted) == [(3, None), (4, None)]


def test_versions_alone_are_recorded_without_a_touch(pair: Pair) -> None:
    a, b = pair
    (a.root / "f").write_text("f")
    b.mirror(a)
    entry = b.entries[TreePath(b"f")]
    newer = type(entry)(
        **{**{n: getattr(entry, n) for n in entry.__struct_fields__}, "version": entry.version.advance(9, 9)}
    )
    before = os.stat(b.root / "f")
    assert b.receive(a, [newer]).applied == [newer]
    assert os.stat(b.root / "f").st_ctime_ns == before.st_ctime_ns
    assert b.store.scan(None) == []


def test_the_index_outlives_its_process(replica: Callable[..., Replica]) -> None:
    a = replica("a")
    (a.root / "f").write_text("f")
    a.scan()
    os.unlink(a.root / "f")
    a.scan()
    replica_id, counter, entries = a.store.replica, a.counter, dict(a.entries)
    a.reopen()
    assert (a.store.replica, a.store.counter, a.entries) == (replica_id, counter, entries)
    assert a.entries[TreePath(b"f")].kind is Kind.TOMBSTONE
    assert a.store.new_replica() != replica_id
    assert a.store.counter == 0


def test_an_index_that_cannot_be_read_pauses_the_tree(
    replica: Callable[..., Replica], monkeypatch: pytest.MonkeyPatch
) -> None:
    a = replica("a")

    def refuse(*_: object) -> None:
        raise sqlite3.OperationalError("locking protocol")

    with monkeypatch.context() as patched:
        patched.setattr(Index, "meta", refuse)
        assert a.store.health() == "the index cannot be used: locking protocol"
    assert a.store.health() is None
    (a.root / "f").write_text("f")
    a.scan()
    assert TreePath(b"f") in a.entries


@pytest.mark.slow
def test_a_random_tree_survives_random_changes(pair: Pair) -> None:
    a, b = pair
    rng = random.Random(4)
    for _ in range(15):
        for _ in range(20):
            mutate(a.root, rng)
        result = b.mirror(a)
        assert not result.changed and not result.failed
        assert differences(a, b) == []
        assert b.store.scan(None) == []


def mutate(root: Path, rng: random.Random) -> None:
    places = [root, *(p for p in sorted(root.rglob("*")) if ".l2sync" not in p.parts)]
    place = rng.choice(places)
    directories = [p for p in places if p.is_dir() and not p.is_symlink()]
    new = rng.choice(directories) / rng.choice("abcdef")
    match rng.randrange(7):
        case 0 if not os.path.lexists(new):
            new.mkdir(mode=rng.choice([0o755, 0o700]))
        case 1 if not os.path.lexists(new):
            new.write_bytes(rng.randbytes(rng.choice([0, 3, 200_000])))
        case 2 if place.is_file() and not place.is_symlink():
            place.write_bytes(rng.randbytes(rng.choice([0, 5, 200_000])))
        case 3 if place != root:
            shutil.rmtree(place) if place.is_dir() and not place.is_symlink() else place.unlink()
        case 4 if place != root and not os.path.lexists(new) and place not in new.parents:
            os.rename(place, new)
        case 5 if not os.path.lexists(new):
            os.symlink(rng.choice("abc"), new)
        case 6 if not place.is_symlink():
            os.chmod(place, rng.choice([0o700, 0o755, 0o644]))


_names = st.binary(min_size=1, max_size=12).map(lambda raw: raw.replace(b"/", b"\n").replace(b"\0", b" "))
_paths = st.lists(_names.filter(lambda name: name not in (b".", b"..", b".l2sync")), min_size=1, max_size=4)


@pytest.mark.slow
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)
@given(
    paths=st.lists(_paths, max_size=8),
    size=st.integers(0, 300_000),
    mtime=st.integers(-(1 << 31) * 1_000_000_000, (1 << 33) * 1_000_000_000),
    mode=st.integers(0, 0o7777),
    owner=st.tuples(st.integers(0, (1 << 32) - 2), st.integers(0, (1 << 32) - 2)),
)
def test_names_of_any_bytes_and_attributes_of_any_kind_arrive(
    tmp_path_factory: pytest.TempPathFactory,
    paths: list[list[bytes]],
    size: int,
    mtime: int,
    mode: int,
    owner: tuple[int, int],
) -> None:
    base = tmp_path_factory.mktemp("any")
    a, b = Replica(base, "a", TreeOptions()), Replica(base, "b", TreeOptions())
    b.scan()
    for number, parts in enumerate(paths):
        with contextlib.suppress(FileExistsError, NotADirectoryError, IsADirectoryError):
            place = os.path.join(os.fsencode(a.root), *parts)
            os.makedirs(os.path.dirname(place), exist_ok=True)
            if number % 3:
                Path(os.fsdecode(place)).write_bytes(bytes(size))
                os.chown(place, *owner)
                os.chmod(place, mode)
            else:
                os.symlink(b"/".join(parts), place)
                os.chown(place, *owner, follow_symlinks=False)
            os.utime(place, ns=(0, mtime), follow_symlinks=False)
    result = b.mirror(a)
    assert not result.changed and not result.failed
    assert differences(a, b) == []
    assert b.store.scan(None) == [] and a.store.scan(None) == []
    for one in (a, b):
        one.store.close()
    shutil.rmtree(base)


def test_an_index_that_cannot_be_read_for_a_moment_is_a_reason_to_pause(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, _ = pair

    def locked(*_: object) -> None:
        raise sqlite3.OperationalError("locking protocol")

    with monkeypatch.context() as patch:
        patch.setattr(Index, "meta", locked)
        assert a.store.health() == "the index cannot be used: locking protocol"
    assert a.store.health() is None
