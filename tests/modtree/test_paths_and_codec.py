"""Paths that only validation makes, and entries as bytes."""

from __future__ import annotations

import contextlib
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from l2sync.modtree import (
    ENTRY,
    Chunk,
    Entry,
    InvalidPath,
    MalformedEntry,
    child_path,
    codec,
    covers,
    join_path,
    name,
    pack_chunks,
    pack_entry,
    parent,
    split_path,
    tree_path,
    unpack_entry,
)

from .make import entries, file, written


@pytest.mark.parametrize(
    "raw",
    [b"/a", b"a/", b"a//b", b".", b"..", b"a/../b", b"a/./b", b"a\0b", b".l2sync", b".l2sync/x", b"n" * 256],
)
def test_bytes_that_lead_out_of_the_tree_or_into_the_agent_s_own_place_are_no_path(raw: bytes) -> None:
    with pytest.raises(InvalidPath):
        tree_path(raw)


@pytest.mark.parametrize("raw", [b"", b"a", b"a/b", b"\xff\xfe/\n", b"..a/b..", b"a/.l2sync", b"n" * 255])
def test_any_other_bytes_are(raw: bytes) -> None:
    assert tree_path(raw) == raw


def test_a_directory_covers_what_is_below_it_and_not_its_neighbours() -> None:
    assert covers(tree_path(b"a"), tree_path(b"a/b")) and covers(tree_path(b""), tree_path(b"z"))
    assert not covers(tree_path(b"a"), tree_path(b"ab")) and parent(tree_path(b"a")) == b""


@pytest.mark.parametrize("raw", [b"a", b"a/b", b"a/b/c"])
def test_a_path_comes_apart_into_its_directory_and_its_name_and_together_again(raw: bytes) -> None:
    path = tree_path(raw)
    above, child = split_path(path)
    assert (above, child) == (parent(path), name(path))
    assert child_path(above, child) == join_path(above, child) == path


def test_an_entry_is_packed_once_and_what_is_read_is_not_packed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    packings: list[Entry] = []
    pack = codec._pack
    monkeypatch.setattr(codec, "_pack", lambda entry: packings.append(entry) or pack(entry))
    made = written(file(b"a/b", b"data"))
    packed = pack_entry(made)
    read, _ = unpack_entry(b"??" + packed, 2)
    assert pack_entry(made) == pack_entry(read) == packed and packings == [made]
    assert read == made and hash(read) == hash(made), "what is held beside it counts for nothing"
    other = replace(read, mode=0o600)
    assert unpack_entry(pack_entry(other))[0] == other and packings == [made, other]


def test_of_a_large_file_nothing_is_held_beside_its_entry() -> None:
    large = replace(written(file(b"a")), size=100, chunks=pack_chunks([Chunk(bytes(32), 1)] * 100))
    pack_entry(large)
    assert not large.__dict__ and not unpack_entry(pack_entry(large))[0].__dict__


@given(entries(), st.integers(0, 10_000), st.integers(0, 255))
def test_what_can_be_read_can_be_packed_in_no_other_way(entry: Entry, at: int, byte: int) -> None:
    packed = bytearray(pack_entry(entry))
    packed[at % len(packed)] = byte
    with contextlib.suppress(MalformedEntry):
        read, end = unpack_entry(bytes(packed))
        assert codec._pack(read) == packed[:end]


@given(entries())
def test_an_entry_survives_packing(entry: Entry) -> None:
    packed = pack_entry(entry)
    assert unpack_entry(b"??" + packed, 2) == (entry, 2 + len(packed))


@given(entries())
def test_the_hand_packed_bytes_are_those_of_the_declaration(entry: Entry) -> None:
    told = ENTRY.parse(pack_entry(entry))
    assert ENTRY.build(told) == pack_entry(entry)
    assert told.path == entry.path and told.size == entry.size and told.mode == entry.mode
    assert told.mtime * 10**9 + told.mtime_ns == entry.mtime_ns
    assert [(d.replica, d.counter) for d in told.version] == list(entry.version.dots)


def test_only_content_of_one_chunk_has_an_only_hash() -> None:
    one, two = Chunk(b"1" * 32, 7), Chunk(b"2" * 32, 5)
    expected = {(): None, (one,): one.hash, (one, two): None}
    for chunks, only in expected.items():
        assert replace(file(b"f"), chunks=pack_chunks(list(chunks))).only_hash == only


def test_garbage_is_malformed_and_never_anything_else() -> None:
    rng = Random(4)
    good = pack_entry(written(file(b"a/b", b"data")))
    for _ in range(5000):
        blob = bytearray(good if rng.random() < 0.8 else rng.randbytes(rng.randrange(200)))
        for _ in range(rng.randrange(1, 4)):
            if blob:
                blob[rng.randrange(len(blob))] = rng.randrange(256)
        del blob[rng.randrange(len(blob) + 1) if rng.random() < 0.2 else len(blob) :]
        try:
            unpack_entry(bytes(blob))
        except MalformedEntry:
            continue


def test_an_entry_whose_chunks_do_not_add_up_is_malformed() -> None:
    good = bytearray(pack_entry(written(file(b"a", b"data"))))
    good[-1] += 1
    with pytest.raises(MalformedEntry):
        unpack_entry(bytes(good))
