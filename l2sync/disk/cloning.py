"""Ranges that two files share until one is written to (reflinks), on file systems that have them: XFS, Btrfs."""

from __future__ import annotations

import fcntl
import struct
from collections.abc import Iterable
from itertools import groupby
from typing import NamedTuple

_FICLONERANGE = 0x4020940D
_RANGE = struct.Struct("=qQQQ")
_BLOCK = 4096


class Piece(NamedTuple):
    """A chunk that is to be taken from ``offset`` of one file to ``target`` of another."""

    number: int
    offset: int
    target: int
    length: int
    hash: bytes


class Run(NamedTuple):
    """Pieces that follow each other in both files."""

    pieces: list[Piece]

    @property
    def range(self) -> tuple[int, int, int]:
        """Offset, length, and offset in the other file, in bytes."""
        first, last = self.pieces[0], self.pieces[-1]
        return first.offset, last.offset + last.length - first.offset, first.target


def runs(pieces: Iterable[Piece], ends: tuple[int, int]) -> list[Run]:
    """What can be shared of these pieces; ``ends``: the sizes of the two files, where blocks need not be whole."""
    found = []
    fitting = [piece for piece in sorted(pieces, key=lambda one: one.offset) if _fits(piece, ends)]
    placed = zip(_sums(fitting), fitting, strict=True)
    for _, group in groupby(placed, lambda one: (one[1].offset - one[0], one[1].target - one[0])):
        found.append(Run([piece for _, piece in group]))
    return found


def share(source: int, target: int, run: Run) -> None:
    """Let ``target`` have the run of ``source``, at no cost in space. Raises OSError where this cannot be had."""
    offset, length, place = run.range
    fcntl.ioctl(target, _FICLONERANGE, _RANGE.pack(source, offset, length, place))


def _fits(piece: Piece, ends: tuple[int, int]) -> bool:
    if piece.offset % _BLOCK or piece.target % _BLOCK:
        return False
    return not piece.length % _BLOCK or (piece.offset + piece.length, piece.target + piece.length) == ends


def _sums(pieces: Iterable[Piece]) -> list[int]:
    """How long all before each are: it grows as the offsets do as long as pieces follow each other."""
    total, found = 0, []
    for piece in pieces:
        found.append(total)
        total += piece.length
    return found
