"""Cutting by content (FastCDC, by the library pyfastcdc): what is put in somewhere moves no cut that is far from it."""

from __future__ import annotations

import os
from collections.abc import Iterator

_MOST = 1 << 20, 4 << 20, 16 << 20
"""The largest smallest, usual and largest chunk that FastCDC takes."""


class Range:
    """A range of an open file as a stream; it ends early where the file does. Never mapped: a file may shrink."""

    def __init__(self, fd: int, start: int, end: int) -> None:
        self._fd = fd
        self._at = start
        self._end = end

    def readinto(self, buffer: memoryview) -> int:
        """Fill the buffer as far as there is anything; how many bytes. Raises OSError."""
        wanted = memoryview(buffer)[: self._end - self._at]
        done = os.preadv(self._fd, [wanted], self._at) if wanted else 0
        self._at += done
        return done

    def read(self, length: int) -> bytes:
        """The next so many bytes, or what is left of them. Raises OSError."""
        data = os.pread(self._fd, min(length, self._end - self._at), self._at)
        self._at += len(data)
        return data


def cut_by_content(stream: Range, length: int) -> Iterator[bytes | memoryview]:
    """The stream's chunks, of half the ``length`` by and large and never more; each is good until the next.

    Where the library is missing all have that length, which costs bytes on the wire, later. Raises OSError.
    """
    try:
        from pyfastcdc import FastCDC
    except ImportError:
        while data := stream.read(length):
            yield data
        return
    wanted = length // 4, length // 2, length
    least, usual, most = map(min, wanted, _MOST)
    for chunk in FastCDC(avg_size=usual, min_size=least, max_size=most).cut_stream(stream):
        yield chunk.data
