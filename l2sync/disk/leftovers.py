"""What batches that never ended have left staged: their chunks need not come over the segment again."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Collection, Iterable
from typing import NamedTuple

from l2sync.modtree import Entry, Kind, TreePath

from .beneath import DIRECTORY, Beneath
from .index import Index, Row
from .staging import AREA, StagedBatch, staged_name

_MOST_BATCHES = 8
_OLDEST_NS = 24 * 3600 * 1_000_000_000


class Piece(NamedTuple):
    """Where a chunk may lie: to be verified, as nobody noted how far the file had come."""

    path: bytes
    offset: int


class Leftovers:
    """The kept directories of the staging area, by their batches' labels, oldest first."""

    def __init__(self, index: Index) -> None:
        self._index = index
        self._batches: dict[str, dict[TreePath, Entry]] = {}

    def recover(self, beneath: Beneath) -> None:
        """After a start: keep what of the staging area can be used again, and remove the rest. Never raises OSError."""
        known = self._index.leftovers()
        oldest = time.time_ns() - _OLDEST_NS
        with contextlib.suppress(OSError):
            area = beneath.open(AREA, DIRECTORY)
            try:
                found = [(os.stat(one, dir_fd=area).st_mtime_ns, one) for one in os.listdir(area)]
                for changed, one in sorted(found):
                    if one in known and changed > oldest:
                        self._take(beneath, one, known[one])
                    if one not in self._batches:
                        _remove(area, one)
            finally:
                os.close(area)
        for label in known.keys() - self._batches.keys():
            self._index.drop_leftover(label)
        self._thin(beneath)

    def keep(self, batch: StagedBatch) -> None:
        """Take over the files of a batch that was closed with its files kept."""
        self._index.keep_journals(batch.label)
        self._take(batch.beneath, batch.label, [noted.entry for noted in batch.journaled.values()])
        if batch.label not in self._batches:
            self._drop(batch.beneath, batch.label)
        self._thin(batch.beneath)

    def set_aside(self, beneath: Beneath, label: str) -> None:
        """A batch of this label begins (again): what was kept of it makes way."""
        if label not in self._batches:
            return
        other = label + "~"
        while other in self._batches:
            other += "~"
        with contextlib.suppress(OSError):
            area = beneath.open(AREA, DIRECTORY)
            try:
                os.rename(label, other, src_dir_fd=area, dst_dir_fd=area)
            finally:
                os.close(area)
        self._batches[other] = self._batches.pop(label)
        self._index.rename_leftover(label, other)

    def find(self, hashes: Collection[bytes]) -> dict[bytes, list[Piece]]:
        """Where these chunks may lie."""
        found: dict[bytes, list[Piece]] = {}
        for label, entries in self._batches.items():
            for path, entry in entries.items():
                file = AREA + b"/" + label.encode() + b"/" + staged_name(path)
                offset = 0
                for digest, length in entry.chunk_list():
                    if digest in hashes:
                        found.setdefault(digest, []).append(Piece(file, offset))
                    offset += length
        return found

    def forget(self, beneath: Beneath, paths: Iterable[TreePath]) -> None:
        """These paths have come to a version: what was left of them is not needed any more."""
        for path in paths if self._batches else ():
            for label in [label for label, entries in self._batches.items() if path in entries]:
                del self._batches[label][path]
                with contextlib.suppress(OSError):
                    directory = beneath.open(AREA + b"/" + label.encode(), DIRECTORY)
                    try:
                        os.unlink(staged_name(path), dir_fd=directory)
                    finally:
                        os.close(directory)
                if not self._batches[label]:
                    self._drop(beneath, label)

    def clear(self, beneath: Beneath) -> None:
        """Remove them all: room is wanted."""
        for label in list(self._batches):
            self._drop(beneath, label)

    def _take(self, beneath: Beneath, label: str, entries: Iterable[Entry]) -> None:
        """Keep of a batch's directory the files that are wanted still; the others may share inodes with the user's."""
        rows = self._index.rows(entry.path for entry in entries)
        wanted = {
            staged_name(entry.path): entry
            for entry in entries
            if entry.kind is Kind.FILE and entry.chunks and not _known(rows.get(entry.path), entry)
        }
        kept: dict[TreePath, Entry] = {}
        with contextlib.suppress(OSError):
            directory = beneath.open(AREA + b"/" + label.encode(), DIRECTORY)
            try:
                for child in map(os.fsencode, os.listdir(directory)):
                    if child in wanted:
                        kept[wanted[child].path] = wanted[child]
                    else:
                        os.unlink(child, dir_fd=directory)
            finally:
                os.close(directory)
        if kept:
            self._batches[label] = kept

    def _thin(self, beneath: Beneath) -> None:
        while len(self._batches) > _MOST_BATCHES:
            self._drop(beneath, next(iter(self._batches)))

    def _drop(self, beneath: Beneath, label: str) -> None:
        self._batches.pop(label, None)
        self._index.drop_leftover(label)
        with contextlib.suppress(OSError):
            area = beneath.open(AREA, DIRECTORY)
            try:
                _remove(area, label)
            finally:
                os.close(area)


def _known(row: Row | None, entry: Entry) -> bool:
    return row is not None and row.entry().version.covers(entry.version)


def _remove(area: int, child: str) -> None:
    try:
        os.unlink(child, dir_fd=area)
    except IsADirectoryError:
        shutil.rmtree(child, ignore_errors=True, dir_fd=area)
    except FileNotFoundError:
        pass
