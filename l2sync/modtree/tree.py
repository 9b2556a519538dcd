"""The modtree: every entry of one tree, tombstones too, under Merkle digests that show where two trees differ.

A directory's children are keyed by the BLAKE3 hash of their names, so that a directory of any size splits
evenly: digests are kept for the 256 first bytes, and a comparison goes down nibble by nibble.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from blake3 import blake3

from .block import NO_ENTRY, Buckets, Children, Row
from .codec import pack_entry
from .entry import Entry, Kind
from .merge import is_conflict_copy
from .paths import ROOT, TreePath, child_path, join_path, name, parent, split_path
from .records import Records

FEW = 32
"""Children under a prefix up to which a piece names them one by one."""
_SHORT = 16
_MOST_NIBBLES = 16
_MOST_OFFERED = 50_000
"""Paths that one comparison of pieces comes to: of a tree of any size the rest is found by the next."""


class Piece(NamedTuple):
    """The children of ``path`` whose name hash starts with the nibbles of ``prefix``.

    ``names``: (name, digest of its entry, digest of all it covers), where they are few; else ``buckets``:
    (next nibble, digest of the children under it). Digests are cut to 16 bytes. The empty name is the root's own entry.
    """

    path: TreePath
    prefix: bytes
    total: int
    buckets: tuple[tuple[int, bytes], ...]
    names: tuple[tuple[bytes, bytes, bytes], ...]


@dataclass(slots=True)
class Differences:
    """What follows from a peer's piece: pieces to answer with, our entries to offer, their entries to ask for."""

    deeper: list[tuple[TreePath, bytes]] = field(default_factory=list)
    offer: list[TreePath] = field(default_factory=list)
    ask: list[tuple[TreePath, bool]] = field(default_factory=list)


class ModTree:
    """All entries of one tree by path."""

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        self._records = Records()
        self._root = (b"", NO_ENTRY)
        """The root's own record, and its digest."""
        self._directories: dict[TreePath, Children] = {ROOT: Children()}
        self._count = 0
        self.alive = 0
        self.size = 0
        self.conflicts: set[TreePath] = set()
        """The conflict copies among what is alive."""
        for entry in entries:
            self.put(entry)

    @classmethod
    def of_packed(cls, packed: Iterable[bytes]) -> ModTree:
        """A tree of packed entries that are known to be sound. Raises MalformedEntry."""
        tree = cls()
        for one in packed:
            tree._put(one)
        return tree

    def __len__(self) -> int:
        return self._count

    def __contains__(self, path: TreePath) -> bool:
        return bool(self._find(path)[0])

    def get(self, path: TreePath) -> Entry | None:
        """The entry of a path, a tombstone too; None if the path was never heard of."""
        record, _ = self._find(path)
        return self._records.entry(path, record) if record else None

    def put(self, entry: Entry) -> None:
        """Set the entry of its path."""
        self._put(pack_entry(entry))

    def remove(self, path: TreePath) -> None:
        """Forget a path wholly, as if it had never been; what is below it stays."""
        if path in self:
            self._set(path, b"", NO_ENTRY)
            self._prune(path)

    def children(self, directory: TreePath) -> Iterator[bytes]:
        """Names under a directory, deleted ones too, in no order."""
        own = self._directories.get(directory)
        return iter(()) if own is None else own.names()

    def paths(self, under: TreePath = ROOT, most: int = 1 << 62) -> list[TreePath]:
        """Paths at and below one that have an entry, parents first; of more than ``most``, some that lack no parent."""
        found = [under] if under in self else []
        waiting = [under]
        while waiting:
            place = waiting.pop()
            own = self._directories.get(place)
            for child, record, _ in own.rows() if own is not None else ():
                if len(found) >= most:
                    return sorted(found)
                path = child_path(place, child)
                if record:
                    found.append(path)
                if path in self._directories:
                    waiting.append(path)
        return sorted(found)

    def tombstones(self) -> Iterator[tuple[TreePath, int]]:
        """Deleted paths, each with when it was deleted (seconds since 1970, 0: not known), in no order."""
        if self._count == self.alive:
            return
        for directory, own in list(self._directories.items()):
            for child, record, _ in own.rows():
                if record:
                    kind, at = self._records.kind_and_size(record)
                    if kind is Kind.TOMBSTONE:
                        yield child_path(directory, child), at

    def entries(self, under: TreePath = ROOT) -> list[Entry]:
        """Entries at and below a path, parents first."""
        return [self._records.entry(path, self._find(path)[0]) for path in self.paths(under)]

    @property
    def root_digest(self) -> bytes:
        """32 bytes that are equal on two nodes exactly when all entries are."""
        return self.subtree_digest(ROOT)

    def entry_digest(self, path: TreePath) -> bytes:
        """32 bytes over one packed entry; zeros where there is none."""
        return self._find(path)[1]

    def subtree_digest(self, path: TreePath) -> bytes:
        """32 bytes over an entry and all below it; the entry's own digest where nothing is below."""
        own = self._directories.get(path)
        if not own:
            return self.entry_digest(path)
        if own.digest is None:
            self._digest_below(path)
        assert own.digest is not None, "it was made known"
        return own.digest

    def piece(self, path: TreePath, prefix: bytes = b"") -> Piece:
        """What a peer needs to see where its tree differs from this one under a prefix of a directory's names."""
        names = self._names(path, prefix)
        root = ((b"", self.entry_digest(ROOT)[:_SHORT], bytes(_SHORT)),) if path == ROOT and not prefix else ()
        if len(names) <= FEW or len(prefix) >= _MOST_NIBBLES:
            listed = tuple(
                (child, self.entry_digest(place)[:_SHORT], self.subtree_digest(place)[:_SHORT])
                for child in sorted(names)
                for place in (child_path(path, child),)
            )
            return Piece(path, prefix, len(names), (), root + listed)
        digests = sorted(self._prefix_digests(path, prefix).items())
        buckets = tuple((nibble, digest[:_SHORT]) for nibble, digest in digests)
        return Piece(path, prefix, len(names), buckets, root)

    def differences(self, piece: Piece) -> Differences:
        """Compare a peer's piece with this tree."""
        found = Differences()
        if piece.buckets:
            self._compare_buckets(piece, found)
            theirs = [row for row in piece.names if not row[0]]
        else:
            theirs = list(piece.names)
        self._compare_names(piece, theirs, found, whole=not piece.buckets)
        return found

    # --- comparing --------------------------------------------------------------------------------

    def _compare_buckets(self, piece: Piece, found: Differences) -> None:
        mine = self.piece(piece.path, piece.prefix)
        if not mine.buckets:
            found.deeper.append((piece.path, piece.prefix))
            return
        ours, theirs = dict(mine.buckets), dict(piece.buckets)
        for nibble in range(16):
            if ours.get(nibble) == theirs.get(nibble):
                continue
            prefix = piece.prefix + b"%x" % nibble
            if nibble in theirs:
                found.deeper.append((piece.path, prefix))
            else:
                for child in self._names(piece.path, prefix):
                    self._offer_all(child_path(piece.path, child), found)

    def _compare_names(
        self, piece: Piece, theirs: list[tuple[bytes, bytes, bytes]], found: Differences, whole: bool
    ) -> None:
        seen = set()
        for child, entry, subtree in theirs:
            path = join_path(piece.path, child) if child else ROOT
            seen.add(child)
            if path not in self and path not in self._directories:
                found.ask.append((path, True))
                continue
            if self.entry_digest(path)[:_SHORT] != entry:
                found.ask.append((path, False))
                if path in self:
                    found.offer.append(path)
            below = child and (subtree != entry or bool(self._directories.get(path)))
            if below and self.subtree_digest(path)[:_SHORT] != subtree:
                found.deeper.append((path, b""))
        if whole:
            for child in self._names(piece.path, piece.prefix):
                if child not in seen:
                    self._offer_all(child_path(piece.path, child), found)

    def _offer_all(self, path: TreePath, found: Differences) -> None:
        found.offer += self.paths(path, max(0, _MOST_OFFERED - len(found.offer)))

    # --- digests ----------------------------------------------------------------------------------

    def _digest_below(self, top: TreePath) -> None:
        """Make the digest of a directory known, and before it those of all below; a path may have very many parts."""
        waiting = [top]
        while waiting:
            path = waiting[-1]
            own = self._directories[path]
            buckets = own.buckets()
            unknown = self._unknown(path, buckets)
            if unknown:
                waiting += unknown
                continue
            hasher = blake3(self.entry_digest(path))
            for byte, digest in sorted(self._bucket_digests(path, buckets).items()):
                hasher.update(bytes((byte,)) + digest)
            own.digest = hasher.digest()
            waiting.pop()

    def _unknown(self, path: TreePath, buckets: Buckets) -> list[TreePath]:
        """Directories right below whose digests have to be known first."""
        found = []
        for rows in buckets.values():
            for child, _, _ in () if isinstance(rows, bytes) else rows:
                place = child_path(path, child)
                below = self._directories.get(place)
                if below and below.digest is None:
                    found.append(place)
        return found

    def _bucket_digests(self, path: TreePath, buckets: Buckets) -> dict[int, bytes]:
        found = {
            byte: rows if isinstance(rows, bytes) else self._digest_of(path, rows) for byte, rows in buckets.items()
        }
        self._directories[path].know(found)
        return found

    def _digest_of(self, path: TreePath, rows: Iterable[Row]) -> bytes:
        parts: list[bytes] = []
        for child, _, digest in sorted(rows):
            below = self._directories.get(child_path(path, child))
            parts += (len(child).to_bytes(2, "big"), child, (below.digest if below else None) or digest)
        return blake3(b"".join(parts)).digest()

    def _prefix_digests(self, path: TreePath, prefix: bytes) -> dict[int, bytes]:
        """By the next nibble, what the children under a prefix come to."""
        own = self._directories[path]
        self.subtree_digest(path)
        found: dict[int, bytes] = {}
        if len(prefix) < 2:
            digests = self._bucket_digests(path, own.buckets())
            if prefix:
                return {byte & 15: digest for byte, digest in digests.items() if byte >> 4 == int(prefix, 16)}
            for nibble in {byte >> 4 for byte in digests}:
                present = [byte for byte in sorted(digests) if byte >> 4 == nibble]
                found[nibble] = blake3(b"".join(bytes((b,)) + digests[b] for b in present)).digest()
            return found
        for nibble in range(16):
            if rows := own.rows_under(prefix + b"%x" % nibble):
                found[nibble] = self._digest_of(path, rows)
        return found

    def _names(self, path: TreePath, prefix: bytes) -> list[bytes]:
        own = self._directories.get(path)
        return [] if own is None else own.under(prefix)

    # --- structure --------------------------------------------------------------------------------

    def _find(self, path: TreePath) -> tuple[bytes, bytes]:
        """The record of a path's entry, empty where there is none, and its digest."""
        if not path:
            return self._root
        place, child = split_path(path)
        own = self._directories.get(place)
        found = None if own is None else own.find(child)
        if found is None:
            return b"", NO_ENTRY
        block, at = found
        return block.records[at], block.digest(at)

    def _put(self, packed: bytes) -> None:
        path, record = self._records.make(packed)
        self._set(path, record, blake3(packed).digest())

    def _set(self, path: TreePath, record: bytes, digest: bytes) -> None:
        own = self._directories.get(path)
        if own is not None:
            own.digest = None
        self._account(path, record, 1)
        if not path:
            self._account(path, self._root[0], -1)
            self._root = (record, digest)
            return
        place, child = split_path(path)
        above = self._directories.get(place)
        found = above.find(child) if above else None
        if not above:
            above = self._reach(place)
        if found is None:
            above.add(child, record, digest)
        else:
            block, at = found
            self._account(path, block.records[at], -1)
            block.set(at, record, digest)
        if above.changed(child):
            self._touch(place)

    def _account(self, path: TreePath, record: bytes, sign: int) -> None:
        if not record:
            return
        self._count += sign
        kind, size = self._records.kind_and_size(record)
        if kind is not Kind.TOMBSTONE:
            self.alive += sign
            self.size += sign * (size if kind is Kind.FILE else 0)
            if is_conflict_copy(path):
                (self.conflicts.add if sign > 0 else self.conflicts.discard)(path)

    def _reach(self, directory: TreePath) -> Children:
        """A directory's children; it is made known to those above it, if need be without an entry of its own."""
        own = self._directories.get(directory)
        if own is not None:
            if not own:
                self._touch(directory)  # with nothing below it, those above knew it by its entry alone
            return own
        own = self._directories[directory] = Children()
        place = directory
        while True:
            above = self._directories.get(parent(place))
            known = above is not None
            if above is None:
                above = self._directories[parent(place)] = Children()
            if above.find(name(place)) is None:
                above.add(name(place))
            if known:
                self._touch(place)
                return own
            place = parent(place)

    def _touch(self, path: TreePath) -> None:
        """The digests above a path are not known any more."""
        while path and self._directories[parent(path)].changed(name(path)):
            path = parent(path)

    def _prune(self, path: TreePath) -> None:
        while path and path not in self and not self._directories.get(path):
            self._directories.pop(path, None)
            self._touch(path)
            self._directories[parent(path)].drop(name(path))
            path = parent(path)
