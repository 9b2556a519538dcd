"""On file systems with reflinks a version is made of the one before without copying it, and checked all the same."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2sync.disk.cloning import Piece, runs
from tests.integration.mounts import KINDS, mounted

from .conftest import Replica, differences

CHUNK = 128 << 10
SIZE = 64 * CHUNK + 1000
Pair = tuple[Replica, Replica]


@pytest.fixture(params=["xfs", "btrfs", "ext4"])
def pair(request: pytest.FixtureRequest, replica: Callable[..., Replica], tmp_path: Path) -> Iterator[Pair]:
    """A and B with one large file, B's on a file system of its own."""
    kind: str = request.param
    with mounted(kind, tmp_path / "b", tmp_path / "image", KINDS[kind]):
        a, b = replica("a"), replica("b")
        (a.root / "f").write_bytes(random.Random(1).randbytes(SIZE))
        b.scan()
        b.mirror(a)
        yield a, b
        b.store.close()
    (tmp_path / "b").mkdir(exist_ok=True)
    b.open()


def overwrite(path: Path, offset: int, data: bytes) -> None:
    with open(path, "r+b") as file:
        file.seek(offset)
        file.write(data)


def free(b: Replica) -> int:
    os.sync()
    found = os.statvfs(b.root)
    return found.f_bfree * found.f_bsize


@pytest.mark.root
@pytest.mark.slow
@pytest.mark.parametrize("pair", ["xfs", "btrfs"], indirect=True)
def test_what_did_not_change_is_shared_until_the_commit(pair: Pair) -> None:
    a, b = pair
    overwrite(a.root / "f", 20 * CHUNK, b"x" * 1000)
    before = free(b)
    key, entries = b.stage(a, a.scan(b"f"))
    assert before - free(b) < SIZE // 4
    assert not b.commit(key, entries).failed
    assert differences(a, b) == []


@pytest.mark.root
@pytest.mark.slow
def test_a_version_of_another_length_arrives_whole(pair: Pair) -> None:
    a, b = pair
    old = (a.root / "f").read_bytes()
    for new in (old[: 9 * CHUNK] + b"y" * 777 + old[9 * CHUNK :], old[: 30 * CHUNK], old + old[:5000]):
        (a.root / "f").write_bytes(new)
        assert not b.receive(a, a.scan(b"f")).failed
        assert (b.root / "f").read_bytes() == new


@pytest.mark.root
@pytest.mark.slow
def test_what_changed_unnoticed_is_not_taken(pair: Pair) -> None:
    a, b = pair
    zeros = CHUNK * 3
    overwrite(a.root / "f", zeros, bytes(8192))
    b.receive(a, a.scan(b"f"))
    before = os.stat(b.root / "f")
    overwrite(b.root / "f", zeros, b"rotten" * 1000)
    os.utime(b.root / "f", ns=(before.st_atime_ns, before.st_mtime_ns))
    overwrite(a.root / "f", 20 * CHUNK, b"new")
    key, entries = b.prepare(a.scan(b"f"))
    b.deliver(a, key, entries)
    staged = b.store._batches[key].files[entries[-1].path]
    content = (b.root / ".l2sync" / "staging" / b.store._batches[key].label / os.fsdecode(staged.name)).read_bytes()
    assert content == (a.root / "f").read_bytes()


PIECES = st.lists(st.tuples(st.booleans(), st.sampled_from([4096, 8192, 1000])), max_size=12)


@given(PIECES)
def test_runs_hold_what_fits_once_and_in_order(shape: list[tuple[bool, int]]) -> None:
    pieces, offset, target = [], 0, 4096
    for number, (gap, length) in enumerate(shape):
        pieces.append(Piece(number, offset, target, length, b""))
        offset += length
        target += length + (4096 if gap else 0)
    last = pieces[-1] if pieces else Piece(0, 0, 0, 0, b"")
    ends = (last.offset + last.length, last.target + last.length)
    taken = []
    for run in runs(pieces, ends):
        start, length, place = run.range
        assert start % 4096 == place % 4096 == 0
        assert length % 4096 == 0 or (start + length, place + length) == ends
        for piece in run.pieces:
            assert piece.offset - start == piece.target - place
        assert sum(piece.length for piece in run.pieces) == length
        taken += [piece.number for piece in run.pieces]
    assert taken == sorted(set(taken))
