"""What a hostile member can have an honest node keep in memory: bounded, and the member is named."""

from __future__ import annotations

import dataclasses
import tracemalloc
from random import Random

import msgspec
import pytest
import zstandard

from l2sync.frames import Codec, Form, Kind, Updtree, pack_data
from l2sync.modtree import CHUNK_RECORD, Entry, TreePath, pack_entry
from l2sync.node import Node
from l2sync.transfer.coding import _HEAD, _RECORD, BadGeneration, cut, restore, unpack_records
from tests.simulation.world import MS, SECOND, World

from .byzantine import WWW, Byzantine
from .sizes import held
from .worlds import accused, attacked, honest, node, work_goes_on


def big_entry(one: Node, path: bytes, chunks: int, length: int, seed: int = 1) -> Entry:
    """A file of these chunks that nobody has the content of."""
    sample = one.trees["www"].tree.entries()[-1]
    rng = Random(seed)
    table = b"".join(rng.randbytes(32) + length.to_bytes(4, "big") for _ in range(chunks))
    assert len(table) == chunks * CHUNK_RECORD
    return msgspec.structs.replace(sample, path=TreePath(path), size=chunks * length, chunks=table)


def test_compressed_bombs_are_not_unpacked() -> None:
    world, mallory = attacked()
    many = zstandard.compress(bytes(1 << 30))
    liar = bytearray(zstandard.compress(bytes(4 << 20)))
    liar[5:9] = (100).to_bytes(4, "little")
    unknown = zstandard.ZstdCompressor().compressobj().compress(bytes(64 << 20))
    tracemalloc.start()
    for form in Form:
        for number, bomb in enumerate((many, bytes(liar), unknown, many[:200])):
            mallory.tell(Kind.UPDTREE, Updtree(WWW, number, form, Codec.ZSTD, bomb).pack())
            world.run(20 * MS)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 48 << 20
    assert {"bomb updtree"} <= accused(world)


@pytest.mark.slow
def test_lists_of_entries_without_end_are_dropped() -> None:
    world, mallory = attacked()
    for host in honest(world):
        node(host).ctx.settings = dataclasses.replace(node(host).ctx.settings, most_told=1 << 20)
        node(host).receiving.ctx.settings = node(host).ctx.settings
    sizes = [held(node(host)) for host in honest(world)]
    raw = pack_entry(big_entry(mallory.node, b"big", 2000, 1 << 20))
    for batch in range(1, 60):
        mallory.offer(batch, raw=(raw,), last=False)
        world.run(30 * MS)
    for host, size in zip(honest(world), sizes, strict=True):
        assert held(node(host)) < size + (4 << 20)
    assert "too many entries" in accused(world) and work_goes_on(world, b"after")


@pytest.mark.slow
def test_data_that_never_completes_anything_is_dropped() -> None:
    """Each generation says one part of another chunk: all of it has to be kept, and none of it is ever whole."""
    world, mallory = attacked()
    for host in honest(world):
        node(host).receiving.ctx.settings = dataclasses.replace(node(host).ctx.settings, most_held=1 << 20)
    sizes = [held(node(host)) for host in honest(world)]
    flood(world, mallory, batches=8, frames=600)
    for host, size in zip(honest(world), sizes, strict=True):
        assert held(node(host)) < size + (4 << 20)
    assert "data without end" in accused(world) and work_goes_on(world, b"after")


def flood(world: World, mallory: Byzantine, batches: int, frames: int) -> None:
    """Batches of files with large chunks, and for each chunk one part."""
    for batch in range(1, batches + 1):
        mallory.lock(batch, b"big%d" % batch)
        mallory.offer(batch, big_entry(mallory.node, b"big%d" % batch, frames, 1 << 18, batch))
    world.run(200 * MS)
    for number in range(frames):
        for batch in range(1, batches + 1):
            part = part_of_chunk(number, bytes(1200))
            mallory.say(Kind.DATA, pack_data(batch, number, 1, 0, part))
        world.run(2 * MS)
    world.run(SECOND)


def part_of_chunk(index: int, data: bytes) -> bytes:
    """A generation of one symbol, with one record."""
    record = _RECORD.pack(index, 0, len(data)) + data
    return _HEAD.pack(0, len(record), len(record)) + record


def test_compressed_bombs_in_data_are_not_unpacked() -> None:
    """What a generation says of its unpacked length is checked before a byte of it is unpacked."""
    bomb = zstandard.compress(bytes(1 << 30))
    content = _HEAD.pack(1, 1000, len(bomb)) + bomb
    symbols = cut(content, 1400)
    tracemalloc.start()
    with pytest.raises(BadGeneration):
        list(unpack_records(restore(len(symbols), dict(enumerate(symbols)))))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 << 20
