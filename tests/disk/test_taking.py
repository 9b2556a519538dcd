"""A new version is made of the one before in long runs, each chunk of which is checked."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2sync.disk import taking
from l2sync.disk.cloning import Piece
from l2sync.disk.taking import windows

from .conftest import Replica, differences

Pair = tuple[Replica, Replica]
CHUNK = 128 << 10
DATA = random.Random(5).randbytes(32 * CHUNK + 777)


@pytest.fixture
def synced(pair: Pair) -> Pair:
    a, b = pair
    (a.root / "f").write_bytes(DATA)
    b.mirror(a)
    return a, b


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The lengths that are read of the old version in one go."""
    lengths: list[int] = []
    real = os.preadv

    def preadv(fd: int, buffers: list[memoryview], offset: int) -> int:
        lengths.append(len(buffers[0]))
        return real(fd, buffers, offset)

    monkeypatch.setattr(taking.os, "preadv", preadv)
    return lengths


def unnoticed(file: Path, offset: int, data: bytes) -> None:
    """Change a file as one does that writes through a mapping: its times say nothing of it."""
    times = os.stat(file)
    with open(file, "r+b") as target:
        target.seek(offset)
        target.write(data)
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))


@pytest.mark.parametrize("place", [0, 3 * CHUNK, 10 * CHUNK + 5, 32 * CHUNK, len(DATA)])
def test_what_stays_around_an_insertion_is_read_in_long_runs(synced: Pair, reads: list[int], place: int) -> None:
    a, b = synced
    (a.root / "f").write_bytes(DATA[:place] + b"y" * 1000 + DATA[place:])
    b.receive(a, a.scan(b"f"))
    assert differences(a, b) == [] and len(b.missing) <= 3
    assert len(reads) <= 11 and sum(reads) >= 30 * CHUNK


def test_what_changed_unnoticed_is_not_taken_and_its_neighbours_are(synced: Pair, reads: list[int]) -> None:
    a, b = synced
    unnoticed(b.root / "f", 5 * CHUNK + 9, b"spoilt")
    (a.root / "f").write_bytes(DATA[:-777] + b"z" * 777)
    b.prepare(a.scan(b"f"))
    assert len(b.missing) == 2
    assert len(reads) <= 11


def test_a_file_that_was_cut_off_unnoticed_gives_what_it_still_has(synced: Pair) -> None:
    a, b = synced
    os.truncate(b.root / "f", 9 * CHUNK + 5)
    (a.root / "f").write_bytes(DATA[:-777] + b"z" * 777)
    b.prepare(a.scan(b"f"))
    assert len(b.missing) == 32 - 9 + 1


def test_a_chunk_that_stood_there_twice_is_taken_once(pair: Pair) -> None:
    a, b = pair
    first, second, third = (DATA[at * CHUNK : (at + 1) * CHUNK] for at in range(3))
    (a.root / "f").write_bytes(first + first + second)
    b.mirror(a)
    (a.root / "f").write_bytes(first + second + third)
    b.mirror(a)
    assert differences(a, b) == [] and len(b.missing) == 1


def test_holes_in_what_is_taken_stay_holes(pair: Pair) -> None:
    a, b = pair
    (a.root / "f").write_bytes(DATA[: 4 * CHUNK + 50_000])
    with open(a.root / "f", "r+b") as file:
        file.seek(CHUNK + 4096)
        file.write(bytes(65536))
    b.mirror(a)
    (a.root / "f").write_bytes((a.root / "f").read_bytes() + b"more")
    b.mirror(a)
    assert differences(a, b) == []
    assert os.stat(b.root / "f").st_blocks * 512 <= 4 * CHUNK + 60_000 - 65536


lengths = st.lists(st.tuples(st.integers(1, 300 << 10), st.booleans(), st.booleans()), max_size=30)


@given(lengths)
def test_windows_hold_all_pieces_in_order_and_none_but_neighbours(cuts: list[tuple[int, bool, bool]]) -> None:
    pieces, offset, target = list[Piece](), 0, 0
    for number, (length, gap, shift) in enumerate(cuts):
        offset, target = offset + gap, target + shift
        pieces.append(Piece(number, offset, target, length, b""))
        offset, target = offset + length, target + length
    made = list(windows(pieces))
    assert [piece for window in made for piece in window] == pieces
    for window in made:
        assert len(window) == 1 or sum(piece.length for piece in window) <= 512 << 10
        for one, other in pairwise(window):
            assert (one.offset + one.length, one.target + one.length) == (other.offset, other.target)


def test_a_full_disk_is_met_as_before(synced: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = synced
    real: Callable[..., Any] = taking.write_all

    def full(fd: int, data: memoryview, offset: int) -> None:
        if offset > 10 * CHUNK:
            raise OSError(28, "No space left on device")
        real(fd, data, offset)

    monkeypatch.setattr(taking, "write_all", full)
    (a.root / "f").write_bytes(DATA[:-777] + b"z" * 777)
    b.prepare(a.scan(b"f"))
    assert b.unstaged == {b"f": "no space left for it"} and (b.root / "f").read_bytes() == DATA
