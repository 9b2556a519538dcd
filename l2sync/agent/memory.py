"""Keeps the process small: a sync moves hundreds of megabytes through it, and the allocator would keep a good part.

Works with glibc; elsewhere it does nothing.
"""

from __future__ import annotations

import ctypes

import trio

# malloc.h
_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8
_LARGE = 256 << 10
_EVERY_S = 15.0


def tame_allocator() -> None:
    """Few arenas, and large blocks by mmap, so that they go back to the system at once; before threads start."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, 2)
        mallopt(_M_MMAP_THRESHOLD, _LARGE)


async def give_back() -> None:
    """Return what is free to the system from time to time, until cancelled."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    while trim is not None:
        await trio.sleep(_EVERY_S)
        await trio.to_thread.run_sync(trim, 0)
