"""Generations: runs of chunk parts, cut into k symbols of one size, mended by any k of 256 (zfec, Reed-Solomon).

Before it is cut, a generation is: codec (u8: 0 raw, 1 zstd), length of the records unpacked and packed (u32 each),
and the records: chunk index (u32), offset in the chunk (u32), length (u32), bytes. The last symbol is zero-padded.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from functools import lru_cache

import zfec
import zstandard

MOST_SYMBOLS = 256
MOST_SOURCE = 192
MOST_UNPACKED = 1 << 20
_HEAD = struct.Struct(">BII")
_RECORD = struct.Struct(">III")
RECORD_SIZE = _RECORD.size
HEAD_SIZE = _HEAD.size
_COMPRESSOR = zstandard.ZstdCompressor(level=1)
_WORTH = 0.95


class BadGeneration(ValueError):
    """Symbols that make no generation."""


def pack_records(records: Sequence[tuple[int, int, bytes]], compress: bool) -> bytes:
    """Records (chunk index, offset, bytes) as a generation's content."""
    raw = b"".join(part for index, offset, data in records for part in (_RECORD.pack(index, offset, len(data)), data))
    if compress:
        small = _COMPRESSOR.compress(raw)
        if len(small) < len(raw) * _WORTH:
            return _HEAD.pack(1, len(raw), len(small)) + small
    return _HEAD.pack(0, len(raw), len(raw)) + raw


def unpack_records(content: bytes) -> Iterator[tuple[int, int, bytes]]:
    """The reverse of `pack_records`. Raises BadGeneration."""
    try:
        codec, length, packed = _HEAD.unpack_from(content)
    except struct.error as error:
        raise BadGeneration("a generation that is cut off") from error
    body: bytes | memoryview = memoryview(content)[HEAD_SIZE : HEAD_SIZE + packed]
    if length > MOST_UNPACKED or len(body) != packed or codec > 1:
        raise BadGeneration("a generation of a wrong length or codec")
    if codec:
        try:
            # The decompressor allocates whatever size the data claims: the claim has to be checked before.
            if zstandard.get_frame_parameters(body).content_size != length:
                raise BadGeneration("a generation that claims another length")
            body = zstandard.ZstdDecompressor().decompress(body, max_output_size=MOST_UNPACKED)
        except zstandard.ZstdError as error:
            raise BadGeneration("a generation that does not unpack") from error
    if len(body) != length:
        raise BadGeneration("a generation that unpacks to another length")
    at = 0
    while at < length:
        if at + RECORD_SIZE > length:
            raise BadGeneration("a record that is cut off")
        index, offset, size = _RECORD.unpack_from(body, at)
        at += RECORD_SIZE
        if at + size > length:
            raise BadGeneration("a record that is cut off")
        yield index, offset, bytes(body[at : at + size])
        at += size


def cut(content: bytes, room: int) -> list[bytes]:
    """Cut a generation's content into as few symbols of one size as fit into frames with this much room."""
    k = max(1, -(-len(content) // room))
    size = -(-len(content) // k)
    content = content.ljust(k * size, b"\0")
    return [content[at : at + size] for at in range(0, k * size, size)]


@lru_cache(maxsize=64)
def _encoder(k: int) -> zfec.Encoder:
    return zfec.Encoder(k, MOST_SYMBOLS)


@lru_cache(maxsize=64)
def _decoder(k: int) -> zfec.Decoder:
    return zfec.Decoder(k, MOST_SYMBOLS)


def repair_symbols(source: list[bytes], numbers: list[int]) -> list[bytes]:
    """Symbols by number; those below k are the source's own."""
    made: list[bytes] = list(_encoder(len(source)).encode(source, numbers))
    return made


def restore(k: int, symbols: dict[int, bytes]) -> bytes:
    """A generation's content from any k of its symbols. Raises BadGeneration."""
    if len({len(symbol) for symbol in symbols.values()}) != 1:
        raise BadGeneration("symbols of different sizes")
    source = [symbols.get(number) for number in range(k)]
    if None not in source:
        return b"".join(symbols[number] for number in range(k))
    chosen = sorted(symbols)[:k]
    # zfec wants each source symbol that is there at its own place.
    place: list[int] = [-1] * k
    repair = [number for number in chosen if number >= k]
    for number in chosen:
        if number < k:
            place[number] = number
    for at in range(k):
        if place[at] < 0:
            place[at] = repair.pop()
    return b"".join(_decoder(k).decode([symbols[number] for number in place], place))
