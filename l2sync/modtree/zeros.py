"""Chunks of nothing but zeros: every node has them without being sent any, and writes holes for them."""

from __future__ import annotations

from functools import lru_cache

from blake3 import blake3

from .entry import SHORTEST_CHUNK, Chunk

_PIECE = bytes(1 << 20)
_MOST_ODD = 1 << 20
"""Lengths that are no power of two are those of files' ends; beyond this one, hashing zeros costs too much."""


def is_zeros(chunk: Chunk) -> bool:
    """Whether the chunk is known to hold zeros only. Of very long ends of files it may be, and not be known."""
    length = chunk.length
    if length & (length - 1) == 0 and length >= SHORTEST_CHUNK:
        return length <= 1 << 28 and chunk.hash == zeros_hash(length)
    return length <= _MOST_ODD and chunk.hash == blake3(_PIECE[:length]).digest()


@lru_cache(maxsize=64)
def zeros_hash(length: int) -> bytes:
    """BLAKE3 of that many zero bytes."""
    digest = blake3()
    for _ in range(length // len(_PIECE)):
        digest.update(_PIECE)
    return digest.update(_PIECE[: length % len(_PIECE)]).digest()
