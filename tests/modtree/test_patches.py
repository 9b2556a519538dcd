"""A long list of chunks told as a change of another."""

from __future__ import annotations

from random import Random

import msgspec
import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from l2sync.modtree import (
    CHUNK_RECORD,
    Chunk,
    Entry,
    MalformedEntry,
    apply_patch,
    base_of,
    digest_of,
    is_patch,
    pack_chunks,
    pack_entry,
    pack_patch,
    tree_path,
    unpack_entry,
)

from .make import file, written

BASE = tree_path(b"old/name")


def listed(names: list[int]) -> bytes:
    return pack_chunks([Chunk(blake3(b"%d" % name).digest(), 1000 + name) for name in names])


def entry(names: list[int]) -> Entry:
    chunks = listed(names)
    seen = msgspec.structs.replace(file(b"new/name"), chunks=chunks, size=sum(1000 + name for name in names))
    return written(seen)


@given(st.lists(st.integers(0, 30)), st.lists(st.integers(0, 30)))
def test_a_patch_makes_the_entry_again_or_there_is_none(before: list[int], after: list[int]) -> None:
    patch = pack_patch(entry(after), BASE, listed(before))
    if patch is None:
        return
    assert is_patch(patch) and not is_patch(pack_entry(entry(after)))
    assert base_of(patch) == (BASE, digest_of(listed(before)))
    assert apply_patch(patch, listed(before)) == pack_entry(entry(after))
    assert 2 * len(patch) < len(pack_entry(entry(after)))


def test_what_is_moved_cut_out_put_in_and_replaced_is_told_in_little() -> None:
    before = list(range(4000))
    for after in (before, [*before[:500], 9999, *before[501:]], [*before[:70], 9998, *before[70:]], before[300:]):
        patch = pack_patch(entry(after), BASE, listed(before))
        assert patch is not None and len(patch) < 250
        assert apply_patch(patch, listed(before)) == pack_entry(entry(after))


def test_of_a_list_that_has_little_in_common_no_patch_is_made() -> None:
    assert pack_patch(entry(list(range(100))), BASE, listed(list(range(80, 180)))) is None
    assert pack_patch(entry([]), BASE, listed([1])) is None


def test_garbage_makes_no_entry_and_nothing_but_malformed() -> None:
    before, rng = list(range(50)), Random(1)
    good = pack_patch(entry([*before, 77]), BASE, listed(before))
    assert good is not None
    for _ in range(2000):
        bad = bytearray(good[: rng.randrange(1, len(good) + 1)])
        for _ in range(rng.randrange(3)):
            bad[rng.randrange(1, max(2, len(bad))) % len(bad)] = rng.randrange(256)
        try:
            base_of(bytes(bad))
            unpack_entry(apply_patch(bytes(bad), listed(before)))
        except MalformedEntry:
            continue
    with pytest.raises(MalformedEntry):
        apply_patch(_with_steps(good, 0, 0xFFFFFFF), listed(before))
    with pytest.raises(MalformedEntry):
        apply_patch(_with_steps(good, 45, 10), listed(before))


def _with_steps(patch: bytes, start: int, count: int) -> bytes:
    """The same with another first step."""
    at = 21 + len(BASE)
    return patch[:at] + start.to_bytes(4, "big") + count.to_bytes(4, "big") + patch[at + 8 :]


def test_a_record_is_as_long_as_it_is_taken_for() -> None:
    assert len(listed([1, 2])) == 2 * CHUNK_RECORD
