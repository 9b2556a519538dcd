"""Holes stay holes: on disk, and on the segment, where they cost nothing."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from l2sync.disk.holes import write_all
from l2sync.modtree import Chunk, TreePath, is_zeros, zeros_hash

from .conftest import Replica, differences

Pair = tuple[Replica, Replica]
MB = 1 << 20


def blocks(file: Path) -> int:
    return os.stat(file).st_blocks


def test_a_sparse_file_arrives_sparse_and_only_its_data_is_missing(pair: Pair) -> None:
    a, b = pair
    with open(a.root / "f", "wb") as file:
        file.seek(3 * MB + 10_000)
        file.write(random.Random(1).randbytes(50_000))
        file.truncate(20 * MB + 77)
    b.mirror(a)
    assert len(b.missing) == 1
    assert differences(a, b) == []
    assert blocks(b.root / "f") <= blocks(a.root / "f") < 300


def test_a_file_that_is_one_hole_needs_nothing_unless_it_is_small(pair: Pair) -> None:
    a, b = pair
    os.truncate(os.open(a.root / "f", os.O_CREAT | os.O_WRONLY), 5 * MB + 1)
    os.truncate(os.open(a.root / "small", os.O_CREAT | os.O_WRONLY), 5000)
    b.mirror(a)
    assert len(b.missing) == 1 and blocks(b.root / "f") == blocks(b.root / "small") == 0
    assert differences(a, b) == []


def test_a_local_copy_of_a_sparse_file_is_sparse(pair: Pair) -> None:
    a, b = pair
    with open(a.root / "f", "wb") as file:
        file.seek(10 * MB)
        file.write(b"end")
    b.mirror(a)
    os.system(f"cp --sparse=always {a.root}/f {a.root}/g")
    os.chmod(a.root / "g", 0o600)
    b.mirror(a)
    assert b.missing == [] and differences(a, b) == []
    assert blocks(b.root / "g") <= blocks(a.root / "g") + 8


@pytest.mark.slow
def test_a_file_of_more_than_4_gib(pair: Pair) -> None:
    a, b = pair
    size = (4 << 30) + 12_345
    with open(a.root / "f", "wb") as file:
        file.write(b"start")
        file.seek((4 << 30) - 2)
        file.write(b"over the edge")
        file.truncate(size)
    b.mirror(a)
    assert len(b.missing) <= 3
    assert os.stat(b.root / "f").st_size == size and blocks(b.root / "f") < 64
    with open(b.root / "f", "rb") as file:
        assert file.read(5) == b"start"
        file.seek((4 << 30) - 2)
        assert file.read(15) == b"over the edge\0\0"
    with open(a.root / "f", "r+b") as file:
        file.seek(3 << 30)
        file.write(b"x")
    b.receive(a, a.scan(b"f"))
    assert len(b.missing) == 1 and a.store.scan(None) == b.store.scan(None) == []
    assert b.entries[TreePath(b"f")].chunks == a.entries[TreePath(b"f")].chunks


@given(st.lists(st.tuples(st.sampled_from([b"\0", b"x", b"\0x"]), st.integers(0, 9000)), max_size=6))
def test_what_is_written_with_holes_reads_the_same(runs: list[tuple[bytes, int]]) -> None:
    data = b"".join(piece * count for piece, count in runs)
    fd = os.memfd_create("holes")
    try:
        os.ftruncate(fd, 8192 + len(data))
        write_all(fd, data, 8192)
        assert os.pread(fd, len(data) + 1, 8192) == data
        assert len(data) < 4096 or data.strip(b"\0") or os.fstat(fd).st_blocks <= 8
    finally:
        os.close(fd)


@pytest.mark.parametrize("length", [1, 5000, 1 << 17, 1 << 20, 3 << 19])
def test_zeros_are_known_by_their_hash(length: int) -> None:
    assert zeros_hash(length) == blake3(bytes(length)).digest()
    assert is_zeros(Chunk(blake3(bytes(length)).digest(), length)) == (length <= MB)
    assert not is_zeros(Chunk(blake3(b"x" * length).digest(), length))
