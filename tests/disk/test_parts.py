"""The smaller parts: chunk lengths, the index's walks, paths beneath the root, ignored paths."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from l2sync.disk.beneath import DIRECTORY, Beneath
from l2sync.disk.chunker import MOST_CHUNKS, chunk_size
from l2sync.disk.index import Index
from l2sync.disk.roll import Roll
from l2sync.modtree import SHORTEST_CHUNK, Chunk, Entry, Kind, TreePath, VersionVector, pack_chunks

from .conftest import Replica


def entry(path: bytes, chunks: list[Chunk] | None = None, kind: Kind = Kind.FILE) -> Entry:
    chunks = chunks or []
    version = VersionVector(((5, 1),))
    size = sum(chunk.length for chunk in chunks)
    return Entry(TreePath(path), kind, size=size, chunks=pack_chunks(chunks), version=version, author="a", dot=(5, 1))


@given(st.integers(0, 1 << 44))
def test_a_file_has_a_bounded_number_of_chunks(size: int) -> None:
    length = chunk_size(size)
    assert length >= SHORTEST_CHUNK and -(-size // length) <= MOST_CHUNKS


def test_the_chunk_length_is_kept_while_it_is_sensible() -> None:
    before = entry(b"f", [Chunk(b"x" * 32, 1 << 20), Chunk(b"y" * 32, 5)])
    assert chunk_size(300_000, before) == 1 << 20
    assert chunk_size(8 << 30, before) == 1 << 20
    assert chunk_size(32 << 30, before) == 4 << 20


names = st.binary(min_size=1, max_size=5).map(lambda raw: raw.replace(b"/", b"_").replace(b"\0", b"_"))
paths = st.lists(names, min_size=1, max_size=3).map(b"/".join)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30, deadline=None)
@given(known=st.sets(paths, max_size=30))
def test_the_index_finds_children_and_what_is_below(tmp_path: Path, known: set[bytes]) -> None:
    file = tmp_path / "i.db"
    for left in tmp_path.iterdir():
        left.unlink()
    index = Index(file)
    index.put([(entry(path), b"s") for path in sorted(known)])
    for top in {b"", *(path.split(b"/")[0] for path in known)}:
        prefix = top + b"/" if top else b""
        below = {path for path in known if path.startswith(prefix)} - {top}
        assert set(index.alive(TreePath(top))) == below
        assert set(index.children(TreePath(top))) == {p for p in below if b"/" not in p[len(prefix) :]}
    roll, asked = Roll(index), sorted(known)[::2]
    assert roll.known([*map(TreePath, asked), TreePath(b"never/heard of")]) == dict.fromkeys(asked, b"s")
    assert list(roll.missing()) == sorted(known)[1::2]
    index.close()


def test_chunks_are_found_where_they_are_and_not_where_they_were(tmp_path: Path) -> None:
    index = Index(tmp_path / "i.db")
    one, two = Chunk(b"1" * 32, 10), Chunk(b"2" * 32, 20)
    index.put([(entry(b"f", [one, two]), b""), (entry(b"g", [two]), b"")])
    assert sorted(index.find_chunks([two.hash])[two.hash]) == [(b"f", 10), (b"g", 0)]
    index.put([(entry(b"f", [one]), b"")])
    assert index.find_chunks([one.hash, two.hash]) == {one.hash: [(b"f", 0)], two.hash: [(b"g", 0)]}
    assert index.find_chunks([b"3" * 32]) == {}
    index.close()


@pytest.mark.parametrize("count", [1, 4, 5, 20, 100])
def test_few_and_many_paths_and_chunks_are_found_alike(tmp_path: Path, count: int) -> None:
    index = Index(tmp_path / "i.db")
    chunks = [Chunk(b"%08d" % number * 4, 10) for number in range(count)]
    known = [entry(b"f%d" % number, [chunk]) for number, chunk in enumerate(chunks)]
    index.put([(one, b"s") for one in known])
    found = index.rows([*(one.path for one in known), TreePath(b"unknown")])
    assert {path: row.entry() for path, row in found.items()} == {one.path: one for one in known}
    places = index.find_chunks([*(chunk.hash for chunk in chunks), b"unknown!" * 4])
    assert places == {chunk.hash: [(one.path, 0)] for chunk, one in zip(chunks, known, strict=True)}
    index.close()


def test_one_path_is_asked_for_in_one_statement_and_what_is_remembered_in_none(tmp_path: Path) -> None:
    index, asked = Index(tmp_path / "i.db"), list[str]()
    index.put([(entry(b"f", [Chunk(b"1" * 32, 10)]), b"")], counter=3)
    index._db.set_trace_callback(asked.append)
    assert index.rows([TreePath(b"f")]) and len(asked) == 1
    assert index.find_chunks([b"1" * 32]) and len(asked) == 3
    assert index.counter == 3 and index.meta("marker") and len(asked) == 3
    index.close()


def test_what_a_failed_write_would_have_remembered_is_not(tmp_path: Path) -> None:
    index = Index(tmp_path / "i.db")
    index.put([(entry(b"f"), b"")], counter=3)
    index._db.execute("CREATE TRIGGER refuse BEFORE DELETE ON journal BEGIN SELECT RAISE(ABORT, 'no'); END")
    index.journal("batch", [entry(b"g")])
    with pytest.raises(sqlite3.Error):
        index.put([(entry(b"g"), b"")], counter=4, batch="batch")
    assert index.counter == 3 and index.row(TreePath(b"g")) is None
    index.put([(entry(b"g"), b"")], counter=5)
    index.close()
    index = Index(tmp_path / "i.db")
    assert index.counter == 5
    index.close()


def test_the_journal_is_kept_until_its_batch_ends(tmp_path: Path) -> None:
    index = Index(tmp_path / "i.db")
    index.journal("one", [entry(b"f")])
    index.journal("two", [entry(b"g")])
    index.close()
    index = Index(tmp_path / "i.db")
    assert [e.path for e in index.journaled()] == [b"f", b"g"]
    index.put([(entry(b"f"), b"")], batch="one")
    assert [e.path for e in index.journaled()] == [b"g"]
    index.close_journal(None)
    assert index.journaled() == []
    index.close()


@pytest.mark.parametrize("way", [b"link/x", b"../x", b"/etc", b"link"])
def test_no_path_leads_out_of_the_root(tmp_path: Path, way: bytes) -> None:
    os.symlink("/etc", tmp_path / "link")
    beneath = Beneath(tmp_path)
    with pytest.raises(OSError) as caught:
        beneath.open(way, os.O_RDONLY)
    assert caught.value.errno in (errno.ELOOP, errno.EXDEV, errno.ENOENT)
    beneath.close()


def test_a_path_longer_than_the_kernel_takes_is_walked(tmp_path: Path) -> None:
    beneath = Beneath(tmp_path)
    path = b"/".join([b"n" * 200] * 40)
    fd = os.dup(beneath.fd)
    for part in path.split(b"/"):
        os.mkdir(part, dir_fd=fd)
        below = os.open(part, DIRECTORY, dir_fd=fd)
        os.close(fd)
        fd = below
    opened = beneath.open(path, DIRECTORY)
    assert os.path.samestat(os.fstat(opened), os.fstat(fd))
    for one in (fd, opened):
        os.close(one)
    beneath.close()


def test_a_deep_tree_is_scanned_and_made(replica: Callable[..., Replica]) -> None:
    a, b = replica("a"), replica("b")
    b.scan()
    fd = os.open(a.root, DIRECTORY)
    for _ in range(25):
        os.mkdir(b"n" * 200, dir_fd=fd)
        below = os.open(b"n" * 200, DIRECTORY, dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(os.open(b"f", os.O_CREAT | os.O_WRONLY, dir_fd=fd))
    os.close(fd)
    result = b.mirror(a)
    assert not result.failed and not result.changed
    assert b.store.scan(None) == []
    assert len(b.entries) == 27
