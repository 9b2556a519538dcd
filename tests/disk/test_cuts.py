"""Where a file is cut into chunks after it was changed."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from random import Random

import msgspec
import pytest
from blake3 import blake3
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from l2sync.disk import chunker
from l2sync.disk.chunker import Unsettled, cut
from l2sync.modtree import Kind, Observation, TreePath, unpack_chunks

LENGTH = 1024


@pytest.fixture(autouse=True, params=[1 << 30, 5 * LENGTH], ids=["one thread", "several"])
def _short_chunks(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    monkeypatch.setattr(chunker, "SHORTEST_CHUNK", LENGTH)
    monkeypatch.setattr(chunker, "_LEAST_PART", request.param)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(4))


def look(path: Path, data: bytes, before: Observation | None = None) -> Observation:
    """Write the file, and see it as the next version."""
    path.write_bytes(data)
    fd = os.open(path, os.O_RDONLY)
    try:
        chunks = cut(fd, os.fstat(fd), before)
    finally:
        os.close(fd)
    listed = unpack_chunks(chunks)
    assert sum(chunk.length for chunk in listed) == len(data)
    at = 0
    for chunk in listed:
        assert blake3(data[at : at + chunk.length]).digest() == chunk.hash
        at += chunk.length
    return Observation(path=TreePath(b"f"), kind=Kind.FILE, size=len(data), chunks=chunks)


def fresh(now: Observation, before: Observation) -> int:
    """Bytes of chunks that the version before did not have."""
    known = {chunk.hash for chunk in before.chunk_list()}
    return sum(chunk.length for chunk in now.chunk_list() if chunk.hash not in known)


@pytest.mark.parametrize(
    ("start", "end", "put"),
    [(30_500, 30_500, 7), (30_500, 30_507, 0), (0, 0, 3), (50_000, 50_000, 9), (20_100, 20_110, 10)],
)
def test_what_is_put_in_or_taken_out_makes_little_new(tmp_path: Path, start: int, end: int, put: int) -> None:
    data = Random(1).randbytes(50_000)
    before = look(tmp_path / "f", data)
    now = look(tmp_path / "f", data[:start] + b"n" * put + data[end:], before)
    assert fresh(now, before) <= 2 * LENGTH + put


@pytest.mark.parametrize("length", [30 * LENGTH - 7, 12 * LENGTH, 30 * LENGTH + 5, 50 * LENGTH])
def test_what_repeats_itself_is_found_from_both_ends_and_told_once(tmp_path: Path, length: int) -> None:
    before = look(tmp_path / "f", b"same" * (30 * LENGTH // 4))
    look(tmp_path / "f", (b"same" * (length // 4 + 1))[:length], before)


def test_many_changes_make_no_crumbs(tmp_path: Path) -> None:
    rng = Random(2)
    data = rng.randbytes(30_000)
    seen = look(tmp_path / "f", data)
    for _ in range(200):
        at = rng.randrange(len(data) + 1)
        data = data[:at] + rng.randbytes(rng.randrange(1, 50)) + data[at:]
        seen = look(tmp_path / "f", data, seen)
    assert len(seen.chunk_list()) <= 3 * len(data) / LENGTH


def test_a_growing_log_keeps_the_names_of_its_chunks(tmp_path: Path) -> None:
    data, rng = b"", Random(3)
    seen, sent = look(tmp_path / "f", rng.randbytes(5_000)), 0
    data = (tmp_path / "f").read_bytes()
    for _ in range(100):
        before, data = seen, data + rng.randbytes(100)
        seen = look(tmp_path / "f", data, before)
        sent += fresh(seen, before)
    assert sent <= 100 * LENGTH and len(seen.chunk_list()) <= 2 * len(data) / LENGTH


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)
@given(st.lists(st.binary(max_size=6000), min_size=2, max_size=5))
def test_any_versions_after_each_other_are_cut_soundly(tmp_path: Path, versions: list[bytes]) -> None:
    seen: Observation | None = None
    for data in versions:
        seen = look(tmp_path / "f", data, seen)


def test_a_file_that_was_cut_into_very_many_is_cut_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunker, "_MOST_CUTS", 20)
    data = Random(4).randbytes(50_000)
    before = look(tmp_path / "f", data)
    assert fresh(look(tmp_path / "f", b"x" + data, before), before) > 45_000


def test_what_may_be_a_version_is_read_with_its_cuts(tmp_path: Path) -> None:
    data = Random(5).randbytes(10_000)
    first = look(tmp_path / "f", data)
    second = look(tmp_path / "f", data[:4500] + b"in" + data[4500:], first)
    directory = os.open(tmp_path, os.O_RDONLY)
    try:
        read = chunker.hash_file(b"f", directory, chunker.Xattrs.probe(directory), like=second, wait=False)
        other = msgspec.structs.replace(second, size=second.size + 1)
        assert chunker.hash_file(b"f", directory, chunker.Xattrs.probe(directory), like=other).chunks != second.chunks
    finally:
        os.close(directory)
    assert read.chunks == second.chunks


def changed(data: bytes, places: int, rng: Random) -> bytes:
    """With a few bytes put in, in as many places, evenly spread."""
    part = len(data) // (places + 1)
    pieces = [data[number * part : (number + 1) * part] for number in range(places)]
    return b"".join(piece + rng.randbytes(7) for piece in pieces) + data[places * part :]


@pytest.mark.parametrize("places", [2, 3, 5])
def test_a_file_that_changes_its_length_in_several_places_again_sends_little(tmp_path: Path, places: int) -> None:
    pytest.importorskip("pyfastcdc")
    rng = Random(places)
    data = rng.randbytes(400_000)
    first = look(tmp_path / "f", data)
    data = changed(data, 9, rng)
    second = look(tmp_path / "f", data, first)
    for _ in range(3):
        data = changed(data, places, rng)
        third = look(tmp_path / "f", data, second)
        assert fresh(third, second) <= 5 * LENGTH * places
        second = third
    assert len(second.chunk_list()) <= 4 * len(data) // LENGTH


def test_without_the_library_a_changed_file_is_cut_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyfastcdc", None)
    rng = Random(1)
    before = look(tmp_path / "f", rng.randbytes(100_000))
    after = look(tmp_path / "f", rng.randbytes(90_000), before)
    assert after.size == 90_000 and after.chunks != before.chunks


def test_a_file_that_shrinks_while_it_is_cut_by_content_is_no_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = Random(1)
    before = look(tmp_path / "f", rng.randbytes(100_000))
    (tmp_path / "f").write_bytes(rng.randbytes(90_000))
    fd = os.open(tmp_path / "f", os.O_RDONLY)
    status = os.fstat(fd)
    os.truncate(tmp_path / "f", 50_000)
    monkeypatch.setattr(chunker, "signature", lambda status: b"")
    with pytest.raises(Unsettled):
        cut(fd, status, before)
    os.close(fd)
