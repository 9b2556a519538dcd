"""Keeps the process small: a sync moves hundreds of megabytes through it, and the allocator would keep a good part.

Works with glibc; elsewhere it does nothing.
"""

from __future__ import annotations

import ctypes
import gc

import trio

from .chores import Chores

# malloc.h
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8
_LARGE = 1 << 20
"""Bytes; a generation of data (512 KiB) is smaller: mapped anew for each one, its pages would be cleared each time."""
_SPARE = 4 << 20
"""Bytes that are kept at the heap's end until `give_back` has its turn."""
_EVERY_S = 15.0
_COLLECT_AFTER = 20_000
"""New containers after which the collector looks for cycles; a wake-up's frames are some hundreds, and in no cycle."""


def tame_allocator() -> None:
    """Few arenas, and large blocks by mmap, so that they go back to the system at once; before threads start."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, 2)
        mallopt(_M_MMAP_THRESHOLD, _LARGE)
        mallopt(_M_TRIM_THRESHOLD, _SPARE)


def tame_collector() -> None:
    """Have what is there at the start never looked through for cycles again, and what comes later more seldom."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_COLLECT_AFTER, 10, 10)


async def give_back(chores: Chores) -> None:
    """Return what is free to the system from time to time, until cancelled."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    while trim is not None:
        await chores.sleep(_EVERY_S)
        await trio.to_thread.run_sync(trim, 0)
