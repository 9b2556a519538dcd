"""Staging a batch as far as local files go: only what no file here holds has to come over the segment."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from dataclasses import dataclass, field

from blake3 import blake3

from l2sync.modtree import Chunk, Entry, Kind, TreePath, is_zeros, name, parent

from .beneath import Directories
from .chunker import READ
from .guard import pausing
from .index import Index, Place
from .leftovers import Leftovers
from .look import same_content, signature
from .room import too_large
from .staging import StagedBatch
from .taking import Taking


@dataclass(frozen=True, slots=True)
class Prepared:
    """Numbers of the chunks still missing, and paths that cannot be staged, with the reason."""

    missing: list[int]
    failed: dict[TreePath, str] = field(default_factory=dict)


class Preparation:
    """The staging of one batch."""

    def __init__(self, index: Index, batch: StagedBatch, directories: Directories, leftovers: Leftovers) -> None:
        self._index = index
        self._leftovers = leftovers
        self._batch = batch
        self._directories = directories
        self._failed: dict[TreePath, str] = {}

    def run(self, entries: list[Entry], chunks: list[Chunk]) -> Prepared:
        """Do it. Raises OSError where the tree itself is in trouble (full, read-only)."""
        numbers = {chunk.hash: number for number, chunk in enumerate(chunks)}
        needing = self._needing_content(entries)
        self._failed.update(self._too_large(needing))
        for entry in needing:
            if entry.path in self._failed:
                continue
            try:
                if entry.size:
                    self._batch.expect(entry, numbers)
                else:
                    self._batch.make_empty(entry)
            except KeyError:
                self._failed[entry.path] = "its chunks are not in the batch"
            except (ValueError, OverflowError) as error:  # an entry that no file system can hold
                self._failed[entry.path] = str(error)
            except OSError as error:
                if pausing(error) and not self._nested(entry):
                    raise
                self._failed[entry.path] = error.strerror or str(error)
        for number in self._batch.parts:
            if is_zeros(chunks[number]):
                self._batch.write(number, None)
        self._copy_local(chunks)
        self._copy_left(chunks)
        if self._batch.complete:
            self._batch.sync()
        return Prepared(self._batch.missing, self._failed | self._batch.broken)

    def _nested(self, entry: Entry) -> bool:
        """Whether its file system is mounted within the tree, and its troubles are not the tree's."""
        try:
            return self._directories.system(entry.path).nested
        except OSError:
            return True

    def _too_large(self, entries: list[Entry]) -> dict[TreePath, str]:
        """Files for which their file systems have no room, or that are on none that can be had."""
        found, areas = dict[TreePath, str](), dict[int, list[Entry]]()
        for entry in entries:
            try:
                areas.setdefault(self._batch.at(entry.path), []).append(entry)
            except OSError as error:
                if pausing(error) and not self._nested(entry):
                    raise
                found[entry.path] = error.strerror or str(error)
        for area, some in areas.items():
            found.update(too_large(area, some))
        return found

    def _needing_content(self, entries: list[Entry]) -> list[Entry]:
        """Files whose bytes neither stand at their path nor in a file that leaves its place by the same batch."""
        rows = self._index.rows(entry.path for entry in entries)
        leaving: dict[bytes, TreePath] = {}
        staying: set[TreePath] = set()
        for entry in entries:
            row = rows.get(entry.path)
            if row is None or row.kind is not Kind.FILE:
                continue
            before = row.entry()
            if same_content(entry, before):
                staying.add(entry.path)
            elif before.size and self._unchanged(entry.path, row.signature):
                leaving[before.chunks] = entry.path
        staying |= self._linked(entries)
        return [
            entry
            for entry in entries
            if entry.kind is Kind.FILE and entry.path not in staying and entry.chunks not in leaving
        ]

    def _linked(self, entries: list[Entry]) -> set[TreePath]:
        """Files that become links to one that stands already, or to another of the batch."""
        found: set[TreePath] = set()
        keys = {
            row.entry().look()
            for label in {entry.link_group for entry in entries if entry.link_group}
            for path, row in self._index.labelled(label).items()
            if self._unchanged(path, row.signature)
        }
        for entry in entries:
            if entry.link_group and not entry.deleted:
                if entry.look() in keys:
                    found.add(entry.path)
                keys.add(entry.look())
        return found

    def _unchanged(self, path: TreePath, sig: bytes) -> bool:
        try:
            status = self._directories.stat(path)
        except OSError:
            return False
        return status is not None and signature(status) == sig

    def _copy_local(self, chunks: list[Chunk]) -> None:
        """Fill in the chunks that local files hold; each is verified, for a file may have changed unnoticed."""
        missing = self._batch.missing
        found = self._index.find_chunks(chunks[number].hash for number in missing)
        reads = [(place, number) for number in missing for place in found.get(chunks[number].hash, ())]
        taking = Taking(self._batch)
        for path, group in _by_path(reads).items():
            wanted = [(place.offset, number) for place, number in group if self._batch.awaits(number)]
            if not wanted:
                continue
            try:
                fd = os.open(name(path), READ, dir_fd=self._directories.get(parent(path)))
            except OSError:
                continue
            try:
                taking.take(fd, ((offset, number, chunks[number].hash) for offset, number in wanted))
                for offset, number in wanted:
                    if not self._batch.awaits(number):
                        continue
                    data = _read(fd, chunks[number].length, offset)
                    if blake3(data).digest() == chunks[number].hash:
                        self._batch.write(number, data)
            finally:
                os.close(fd)

    def _copy_left(self, chunks: list[Chunk]) -> None:
        """Fill in what earlier batches had received, and never got to commit."""
        wanted = {chunks[number].hash: number for number in self._batch.missing}
        for digest, pieces in self._leftovers.find(wanted.keys()).items():
            number = wanted[digest]
            for piece in pieces:
                try:
                    fd = self._batch.beneath.open(piece.path, READ)
                except OSError:
                    continue
                try:
                    data = _read(fd, chunks[number].length, piece.offset)
                finally:
                    os.close(fd)
                if blake3(data).digest() == digest:
                    self._batch.write(number, data)
                    self._batch.received = True
                    break


def _read(fd: int, length: int, offset: int) -> bytes:
    with contextlib.suppress(OSError):
        return os.pread(fd, length, offset)
    return b""


def _by_path(reads: Iterable[tuple[Place, int]]) -> dict[TreePath, list[tuple[Place, int]]]:
    groups: dict[TreePath, list[tuple[Place, int]]] = {}
    for place, number in sorted(reads):
        groups.setdefault(place.path, []).append((place, number))
    return groups
