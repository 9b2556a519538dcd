"""Anti-entropy: where root digests differ for a while, compare trees piece by piece and offer what the other lacks.

The node of the lowest id speaks first, to all. Of each group of nodes with one digest, the lowest id answers; the
others keep silent, since their answer would be the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from l2sync.frames import Ask, Digests, Kind, Piece, TreeState, pack_updtree
from l2sync.modtree import ROOT, InvalidPath, ModTree, TreePath, tree_path
from l2sync.modtree import Piece as TreePiece

from .context import Context, TreeReadiness
from .remembering import Remembering
from .tree import SharedTree

_PIECES_PER_MESSAGE = 64
_ASKS_PER_MESSAGE = 1000
_MOST_ASKED = 50_000
"""Entries offered for one path that is asked for."""
_MANY = 4000
"""While so many entries wait to be told anyway, nothing is compared: it would find them, again and again."""
_DEEPER_AT_ONCE = 256
"""Pieces in answer to one message: where all of a large tree differs, going down everywhere at once would take as many
pieces as it has directories, and few of them would be answered."""


@dataclass(slots=True)
class _Round:
    """What is known of a tree's disagreement."""

    differ_since: int | None = None
    last: int = -(1 << 62)
    wait: int = 0
    fingerprint: tuple[bytes, ...] = ()


class Reconciler:
    """Compares trees with other nodes."""

    def __init__(self, context: Context, remembering: Remembering) -> None:
        self.ctx = context
        self.remembering = remembering
        self._rounds: dict[str, _Round] = {name: _Round() for name in context.trees}

    def _ready(self, shared: SharedTree) -> list[tuple[int, TreeState]]:
        return [(p.id, s) for p, s in self.ctx.sharing(shared) if s.state == TreeReadiness.READY]

    def in_step(self, shared: SharedTree) -> bool:
        """Whether every online node that has this tree tells the digest that we have."""
        return all(state.digest == shared.digest for _, state in self.ctx.sharing(shared))

    def tick(self, now: int, busy: bool, shared: SharedTree) -> None:
        """Begin a comparison if one is due and it is ours to begin."""
        if shared.paused is not None or not shared.scanned or self.ctx.cluster.id not in range(0xFFFF):
            return
        current = self._rounds[shared.name]
        if busy:  # then they differ, in all likelihood; to make sure takes a digest
            current.differ_since = now if current.differ_since is None else current.differ_since
            return
        ready = self._ready(shared)
        digests = tuple(sorted({state.digest for _, state in ready} | {shared.digest}))
        if len(digests) == 1:
            if ready:
                shared.trust_counter()
                self.remembering.in_step(shared)
            current.differ_since, current.wait = None, 0
            return
        if current.differ_since is None:
            current.differ_since = now
        settings = self.ctx.settings
        if now - max(current.differ_since, shared.changed_at) < settings.reconcile_settle:
            return
        if min(peer for peer, _ in ready) < self.ctx.cluster.id or now < current.last + current.wait:
            return
        # The same disagreement again means that something stands in the way: ask less and less often.
        same = digests == current.fingerprint
        current.wait = min(current.wait * 2, 30 * settings.reconcile_every) if same else settings.reconcile_every
        current.fingerprint, current.last = digests, now
        self.ctx.counters["comparisons"] += 1
        self._send_pieces(shared, [(ROOT, b"")], None, now)

    def next_deadline(self, shared: SharedTree) -> int | None:
        """When to look again."""
        current = self._rounds[shared.name]
        if current.differ_since is None:
            return None
        settle = max(current.differ_since, shared.changed_at) + self.ctx.settings.reconcile_settle
        return max(settle, current.last + current.wait, self.ctx.timed_at + 50_000_000)

    # --- messages ---------------------------------------------------------------------------------

    def digests(self, peer: int, shared: SharedTree, message: Digests, now: int) -> None:
        """Pieces of a peer's tree: answer what goes deeper, offer and ask for what differs. Raises InvalidPath."""
        if shared.paused is not None or not shared.scanned or _many(shared):
            return
        opening = any(not piece.path and not piece.prefix for piece in message.pieces)
        if opening and not self._speaks_for_group(peer, shared):
            return
        deeper: list[tuple[TreePath, bytes]] = []
        asks: list[tuple[TreePath, bool]] = []
        for piece in message.pieces:
            if _many(shared):
                break
            found = shared.tree.differences(_to_tree_piece(piece))
            deeper += found.deeper
            asks += found.ask
            lacking = set(found.offer).difference(path for path, _ in found.ask)
            shared.offer(self.remembering.offerable(shared, found.offer, lacking), now)
        if deeper:
            # Any of them, lest those that lead to nothing stand in the way of others each time.
            some = deeper if len(deeper) <= _DEEPER_AT_ONCE else self.ctx.rng.sample(deeper, _DEEPER_AT_ONCE)
            self._send_pieces(shared, some, peer, now)
        for at in range(0, len(asks), _ASKS_PER_MESSAGE):
            ask = Ask(tuple((bytes(path), whole) for path, whole in asks[at : at + _ASKS_PER_MESSAGE]))
            self.ctx.cluster.send(Kind.UPDTREE, pack_updtree(shared.tag, 0, ask), now, peer)

    def ask(self, shared: SharedTree, message: Ask, now: int) -> None:
        """A peer wants entries: offer them to all. Raises InvalidPath."""
        for raw, whole in message.items:
            path = tree_path(raw)
            if whole:
                if _many(shared):
                    continue
                paths = shared.tree.paths(path, _MOST_ASKED)
                shared.offer(self.remembering.offerable(shared, paths, set(paths)), now)
            elif path in shared.tree:
                shared.offer(self.remembering.offerable(shared, [path], set()), now)

    def _speaks_for_group(self, peer: int, shared: SharedTree) -> bool:
        mine = shared.digest
        for other, state in self._ready(shared):
            if state.digest == mine and (other == peer or other < self.ctx.cluster.id):
                return False
        return True

    def _send_pieces(
        self, shared: SharedTree, places: Sequence[tuple[TreePath, bytes]], peer: int | None, now: int
    ) -> None:
        for at in range(0, len(places), _PIECES_PER_MESSAGE):
            pieces = tuple(_to_frame_piece(shared.tree, *place) for place in places[at : at + _PIECES_PER_MESSAGE])
            body = pack_updtree(shared.tag, 0, Digests(pieces))
            self.ctx.cluster.send(Kind.UPDTREE, body, now, peer)


def _many(shared: SharedTree) -> bool:
    return len(shared.dirty) > _MANY or bool(shared.sweep)


def _to_frame_piece(tree: ModTree, path: TreePath, prefix: bytes) -> Piece:
    return Piece(*tree.piece(path, prefix))


def _to_tree_piece(piece: Piece) -> TreePiece:
    if any(len(child) > 255 or b"/" in child for child, _, _ in piece.names):
        raise InvalidPath("a name that is none")
    return TreePiece(tree_path(piece.path), piece.prefix, piece.total, piece.buckets, piece.names)
