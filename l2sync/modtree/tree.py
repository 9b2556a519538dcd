"""The modtree: every entry of one tree, tombstones too, under Merkle digests that show where two trees differ.

A directory's children are keyed by the BLAKE3 hash of their names, so that a directory of any size splits
evenly: digests are kept for the 256 first bytes, and a comparison goes down nibble by nibble.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from blake3 import blake3

from .codec import pack_entry
from .entry import Entry, Kind
from .merge import is_conflict_copy
from .paths import ROOT, TreePath, name, parent, tree_path

FEW = 32
"""Children under a prefix up to which a piece names them one by one."""
_NO_ENTRY = bytes(32)
_SHORT = 16
_NAME_HASH = 8


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


class _Directory:
    """Children's names by the first byte of their hash, and the digests known of them."""

    __slots__ = ("buckets", "digest", "digests")

    def __init__(self) -> None:
        self.buckets: dict[int, set[bytes]] = {}
        self.digests: dict[int, bytes] = {}
        self.digest: bytes | None = None

    def __len__(self) -> int:
        return sum(map(len, self.buckets.values()))


def name_hash(child: bytes) -> bytes:
    """Eight bytes by which a directory orders its children."""
    return blake3(child).digest(length=_NAME_HASH)


class ModTree:
    """All entries of one tree by path."""

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        self._entries: dict[TreePath, Entry] = {}
        self._directories: dict[TreePath, _Directory] = {ROOT: _Directory()}
        self.alive = 0
        self.size = 0
        self.conflicts: set[TreePath] = set()
        """The conflict copies among what is alive."""
        for entry in entries:
            self.put(entry)

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, path: TreePath) -> bool:
        return path in self._entries

    def get(self, path: TreePath) -> Entry | None:
        """The entry of a path, a tombstone too; None if the path was never heard of."""
        return self._entries.get(path)

    def put(self, entry: Entry) -> None:
        """Set the entry of its path."""
        path = entry.path
        old = self._entries.get(path)
        self._count(old, -1)
        self._count(entry, 1)
        self._entries[path] = entry
        own = self._directories.get(path)
        if own is not None:
            own.digest = None
        self._touch(path, add=old is None)

    def remove(self, path: TreePath) -> None:
        """Forget a path wholly, as if it had never been; what is below it stays."""
        old = self._entries.pop(path, None)
        if old is None:
            return
        self._count(old, -1)
        own = self._directories.get(path)
        if own is not None:
            own.digest = None
        self._touch(path, add=False)
        self._prune(path)

    def children(self, directory: TreePath) -> Iterator[bytes]:
        """Names under a directory, deleted ones too, in no order."""
        own = self._directories.get(directory)
        if own is not None:
            for bucket in own.buckets.values():
                yield from bucket

    def entries(self, under: TreePath = ROOT) -> list[Entry]:
        """Entries at and below a path, parents first."""
        if under == ROOT:
            return [self._entries[path] for path in sorted(self._entries)]
        return [self._entries[path] for path in sorted(self._below(under)) if path in self._entries]

    @property
    def root_digest(self) -> bytes:
        """32 bytes that are equal on two nodes exactly when all entries are."""
        return self.subtree_digest(ROOT)

    def entry_digest(self, path: TreePath) -> bytes:
        """32 bytes over one packed entry; zeros where there is none."""
        entry = self._entries.get(path)
        return blake3(pack_entry(entry)).digest() if entry is not None else _NO_ENTRY

    def subtree_digest(self, path: TreePath) -> bytes:
        """32 bytes over an entry and all below it; the entry's own digest where nothing is below."""
        own = self._directories.get(path)
        if own is None or not own.buckets:
            return self.entry_digest(path)
        if own.digest is None:
            hasher = blake3(self.entry_digest(path))
            for byte in sorted(own.buckets):
                hasher.update(bytes((byte,)) + self._bucket_digest(path, own, byte))
            own.digest = hasher.digest()
        return own.digest

    def piece(self, path: TreePath, prefix: bytes = b"") -> Piece:
        """What a peer needs to see where its tree differs from this one under a prefix of a directory's names."""
        names = self._names(path, prefix)
        root = ((b"", self.entry_digest(ROOT)[:_SHORT], bytes(_SHORT)),) if path == ROOT and not prefix else ()
        if len(names) <= FEW or len(prefix) >= 2 * _NAME_HASH:
            listed = tuple(
                (child, self.entry_digest(place)[:_SHORT], self.subtree_digest(place)[:_SHORT])
                for child in sorted(names)
                for place in (_join(path, child),)
            )
            return Piece(path, prefix, len(names), (), root + listed)
        buckets = []
        for nibble in range(16):
            digest = self._prefix_digest(path, prefix + b"%x" % nibble)
            if digest is not None:
                buckets.append((nibble, digest[:_SHORT]))
        return Piece(path, prefix, len(names), tuple(buckets), root)

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
                    self._offer_all(_join(piece.path, child), found)

    def _compare_names(
        self, piece: Piece, theirs: list[tuple[bytes, bytes, bytes]], found: Differences, whole: bool
    ) -> None:
        seen = set()
        for child, entry, subtree in theirs:
            path = tree_path(_join(piece.path, child)) if child else ROOT
            seen.add(child)
            if path not in self._entries and path not in self._directories:
                found.ask.append((path, True))
                continue
            if self.entry_digest(path)[:_SHORT] != entry:
                found.ask.append((path, False))
                if path in self._entries:
                    found.offer.append(path)
            below = child and (subtree != entry or bool(self._directories.get(path)))
            if below and self.subtree_digest(path)[:_SHORT] != subtree:
                found.deeper.append((path, b""))
        if whole:
            for child in self._names(piece.path, piece.prefix):
                if child not in seen:
                    self._offer_all(_join(piece.path, child), found)

    def _offer_all(self, path: TreePath, found: Differences) -> None:
        found.offer += [entry.path for entry in self.entries(path)]

    # --- digests ----------------------------------------------------------------------------------

    def _bucket_digest(self, path: TreePath, own: _Directory, byte: int) -> bytes:
        digest = own.digests.get(byte)
        if digest is None:
            digest = own.digests[byte] = self._digest_of(path, own.buckets[byte])
        return digest

    def _digest_of(self, path: TreePath, names: Iterable[bytes]) -> bytes:
        parts: list[bytes] = []
        for child in sorted(names):
            parts += (len(child).to_bytes(2, "big"), child, self.subtree_digest(_join(path, child)))
        return blake3(b"".join(parts)).digest()

    def _prefix_digest(self, path: TreePath, prefix: bytes) -> bytes | None:
        own = self._directories[path]
        if len(prefix) == 1:
            high = int(prefix, 16)
            present = [byte for byte in sorted(own.buckets) if byte >> 4 == high]
            if not present:
                return None
            return blake3(b"".join(bytes((b,)) + self._bucket_digest(path, own, b) for b in present)).digest()
        if len(prefix) == 2:
            byte = int(prefix, 16)
            return self._bucket_digest(path, own, byte) if byte in own.buckets else None
        names = self._names(path, prefix)
        return self._digest_of(path, names) if names else None

    def _names(self, path: TreePath, prefix: bytes) -> list[bytes]:
        own = self._directories.get(path)
        if own is None:
            return []
        if len(prefix) < 2:
            return [
                child
                for byte, bucket in own.buckets.items()
                if not prefix or byte >> 4 == int(prefix, 16)
                for child in bucket
            ]
        bucket = own.buckets.get(int(prefix[:2], 16), set())
        if len(prefix) == 2:
            return list(bucket)
        return [child for child in bucket if name_hash(child).hex().encode().startswith(prefix)]

    # --- structure --------------------------------------------------------------------------------

    def _count(self, entry: Entry | None, sign: int) -> None:
        if entry is not None and not entry.deleted:
            self.alive += sign
            self.size += sign * (entry.size if entry.kind is Kind.FILE else 0)
            if is_conflict_copy(entry.path):
                (self.conflicts.add if sign > 0 else self.conflicts.discard)(entry.path)

    def _touch(self, path: TreePath, add: bool) -> None:
        while path:
            above, child = parent(path), name(path)
            own = self._directories.get(above)
            if own is None:
                own = self._directories[above] = _Directory()
                add = True
            byte = blake3(child).digest(length=1)[0]
            own.digest = None
            own.digests.pop(byte, None)
            if add:
                own.buckets.setdefault(byte, set()).add(child)
                add = above != ROOT and above not in self._entries
            path = above

    def _prune(self, path: TreePath) -> None:
        while path and path not in self._entries and not self._directories.get(path):
            self._directories.pop(path, None)
            above, child = parent(path), name(path)
            byte = blake3(child).digest(length=1)[0]
            own = self._directories[above]
            own.buckets[byte].discard(child)
            if not own.buckets[byte]:
                del own.buckets[byte]
            path = above

    def _below(self, path: TreePath) -> Iterator[TreePath]:
        waiting = [path]
        while waiting:
            place = waiting.pop()
            yield place
            waiting += [_join(place, child) for child in self.children(place)]


def _join(path: TreePath, child: bytes) -> TreePath:
    return TreePath(path + b"/" + child if path else child)
