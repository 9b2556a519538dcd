"""Filling a batch's files from local ones: shared where the file system can, else copied, many chunks at a time."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from blake3 import blake3

from .cloning import Piece, Run, runs, share
from .holes import write_all
from .staging import StagedBatch, StagedFile

_WINDOW = 512 << 10
"""Bytes that are read, checked and written in one go: no more than a processor's own cache holds."""


class Taking:
    """Takes chunks from one local file after the other. What is not what its hash says is awaited still."""

    def __init__(self, batch: StagedBatch) -> None:
        self._batch = batch
        self._shares = True
        """Whether this file system, as far as is known, lets files share what they have in common."""
        self._room = memoryview(b"")

    def take(self, source: int, wanted: Iterable[tuple[int, int, bytes]]) -> None:
        """Take chunks (offset, number, hash), those that belong in several places apart. Raises OSError."""
        for file, pieces in self._by_file(wanted):
            try:
                if self._shares:
                    self._share_all(source, file, pieces)
                for window in windows(piece for piece in pieces if self._batch.awaits(piece.number)):
                    self._copy(source, file, window)
            except OSError as error:
                self._batch.bear(error, file)

    def _by_file(self, wanted: Iterable[tuple[int, int, bytes]]) -> list[tuple[StagedFile, list[Piece]]]:
        found: dict[bytes, tuple[StagedFile, list[Piece]]] = {}
        numbers = set[int]()
        for offset, number, digest in wanted:
            place = self._batch.only_place(number)
            if place is not None and number not in numbers:  # a chunk may stand in the source twice
                numbers.add(number)
                file, target = place
                _, pieces = found.setdefault(file.name, (file, []))
                pieces.append(Piece(number, offset, target, self._batch.lengths[number], digest))
        return list(found.values())

    def _share_all(self, source: int, file: StagedFile, pieces: list[Piece]) -> None:
        for run in runs(pieces, (os.fstat(source).st_size, file.entry.size)):
            if self._shares:
                self._share(source, file, run)

    def _share(self, source: int, file: StagedFile, run: Run) -> None:
        """What was taken is read where it is now."""
        fd = self._batch.descriptor(file)
        try:
            share(source, fd, run)
        except OSError:
            self._shares = False  # no such file system, or the file has shrunk: copying tells
            return
        for piece in run.pieces:
            data = os.pread(fd, piece.length, piece.target)
            if blake3(data).digest() == piece.hash:
                self._batch.filled(file, fd, [piece.number])
            else:  # nothing may be left where a chunk with holes is to be put
                os.pwrite(fd, bytes(piece.length), piece.target)

    def _copy(self, source: int, file: StagedFile, window: list[Piece]) -> None:
        data = self._read(source, window[0].offset, sum(piece.length for piece in window))
        good, at = [], 0
        for piece in window:
            part = data[at : at + piece.length]
            at += piece.length
            if blake3(part).digest() == piece.hash:
                good.append((piece, part))
        if not good:
            return
        fd = self._batch.descriptor(file)
        if len(good) == len(window):
            write_all(fd, data, window[0].target)
        else:
            for piece, part in good:
                write_all(fd, part, piece.target)
        self._batch.filled(file, fd, [piece.number for piece, _ in good])

    def _read(self, source: int, offset: int, length: int) -> memoryview:
        """What stands there, as far as it can be read; good until the next is."""
        if len(self._room) < length:
            self._room = memoryview(bytearray(max(length, _WINDOW)))
        try:
            return self._room[: os.preadv(source, [self._room[:length]], offset)]
        except OSError:
            return self._room[:0]


def windows(pieces: Iterable[Piece]) -> Iterator[list[Piece]]:
    """What can be copied in one go: pieces that follow each other in both files."""
    window: list[Piece] = []
    size = 0
    for piece in pieces:
        if window:
            last = window[-1]
            follows = (last.offset + last.length, last.target + last.length) == (piece.offset, piece.target)
            if not follows or size + piece.length > _WINDOW:
                yield window
                window, size = [], 0
        window.append(piece)
        size += piece.length
    if window:
        yield window
