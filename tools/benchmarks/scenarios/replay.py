"""Two nodes in one process, without a disk or a wire: the processor time that a data frame costs each of them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any

from blake3 import blake3

from benchmarks.measure import Conditions, Result, Sizes
from benchmarks.peers import Peer, Unable
from benchmarks.scenarios.base import Scenario
from benchmarks.stage import Bench
from l2sync.frames import Keyring
from l2sync.modtree import ROOT, Chunk, Kind, ModTree, Observation, TreePath, pack_chunks
from l2sync.node import Node, api

SECOND = 1_000_000_000
MS = 1_000_000
_CHUNK = 128 << 10
_BATCH = 64
_PIECE = 1 << 20
_PATIENCE = 100 * SECOND
_DISK = MS // 5


@dataclass
class Side:
    """A node, what waits for it, and the processor time that it took."""

    node: Node
    content: bytes = b""
    inbox: list[tuple[bytes, bytes]] = field(default_factory=list)
    events: list[tuple[int, api.DiskEvent]] = field(default_factory=list)
    seconds: float = 0.0
    stored: int = 0


def node(name: str, mtu: int, rng: Random) -> Node:
    """A node with one tree, of which it knows nothing yet."""
    setup = api.TreeSetup("t", "/t", rng.getrandbits(64), 0, ModTree(()))
    keyring = Keyring("replay", {1: bytes(range(32))}, 1)
    session, nonce, seeded = rng.getrandbits(64), rng.randbytes(8), Random(rng.getrandbits(32))
    return Node(
        name=name, session=session, nonce=nonce, trees=[setup], keyring=keyring, mtu=mtu, registry={}, rng=seeded
    )


def root_seen() -> Observation:
    """An empty tree."""
    return Observation(path=ROOT, kind=Kind.DIR, mode=0o755)


def file_seen(content: bytes) -> Observation:
    """A file with this content."""
    pieces = [content[at : at + _CHUNK] for at in range(0, len(content), _CHUNK)]
    chunks = pack_chunks([Chunk(blake3(piece).digest(), len(piece)) for piece in pieces])
    return Observation(path=TreePath(b"big"), kind=Kind.FILE, mode=0o644, size=len(content), chunks=chunks)


def disk(side: Side, effect: api.Effect) -> api.DiskEvent | None:
    """What a disk answers that stores nothing."""
    match effect:
        case api.Prepare(tree, key, _, chunks):
            return api.Prepared(tree, key, tuple(range(len(chunks))), {})
        case api.Store(tree, key, chunks):
            size = sum(len(data) for _, data in chunks)
            side.stored += size
            return api.Stored(tree, key, size)
        case api.Commit(tree, key, targets):
            return api.Committed(tree, key, tuple(target.entry for target in targets), (), {})
        case api.ReadChunks(tree, key, reads):
            found = ((read.index, side.content[read.offset : read.offset + read.length]) for read in reads)
            return api.ChunksRead(tree, key, tuple(found))
    return None


class Replay:
    """An origin and a receiver; every call into either is timed, nothing else is."""

    def __init__(self, size: int, mtu: int, seed: int = 1) -> None:
        rng = Random(seed)
        self.now = SECOND
        self.frames = self.bytes = 0
        self.sides = [Side(node(name, mtu, rng)) for name in ("origin", "receiver")]
        self.origin, self.receiver = self.sides
        # In pieces: one number of 2**31 bits or more is beyond what Random makes.
        self.origin.content = b"".join(rng.randbytes(min(_PIECE, size - at)) for at in range(0, size, _PIECE))

    def run(self) -> None:
        """Until the receiver has all. Raises Unable."""
        for side in self.sides:
            side.node.start(self.now)
            self._tell(side, api.Observed("t", (root_seen(),), True, {}))
        self._pass(lambda: all(any(side.node.ctx.online()) for side in self.sides))
        self._pass(lambda: False, self.now + SECOND, must=False)
        for side in self.sides:
            side.seconds = 0.0
        self.frames = self.bytes = 0
        self._tell(self.origin, api.Observed("t", (file_seen(self.origin.content),), False, {}))
        self._pass(lambda: self.receiver.stored >= len(self.origin.content))

    def _pass(self, done: Any, end: int | None = None, must: bool = True) -> None:
        end = end or self.now + _PATIENCE
        while self.now < end:
            if done():
                return
            self._turn()
        if must:
            raise Unable("the two nodes did not come to an end")

    def _turn(self) -> None:
        """Frames in a batch of those that wait, as from a socket; then the disk, then time."""
        moved = False
        for side in self.sides:
            while side.inbox:
                batch, side.inbox = side.inbox[:_BATCH], side.inbox[_BATCH:]
                self._call(side, lambda s=side, b=batch: receive_all(s.node, b, self.now))
                moved = True
            while side.events and side.events[0][0] <= self.now:
                self._tell(side, side.events.pop(0)[1])
                moved = True
            due = side.node.next_deadline(self.now)
            if due is not None and due <= self.now:
                self._call(side, lambda s=side: s.node.handle_timer(self.now))
                moved = True
        self.now += 20_000 if moved else 200_000

    def _tell(self, side: Side, event: api.DiskEvent) -> None:
        self._call(side, lambda: side.node.disk_reported(event, self.now))

    def _call(self, side: Side, verb: Any) -> None:
        begin = time.thread_time()
        verb()
        effects = side.node.take_effects()
        side.seconds += time.thread_time() - begin
        other = self.sides[1 - self.sides.index(side)]
        for effect in effects:
            if isinstance(effect, api.SendRun):
                other.inbox += [(frame, bytes(6)) for frame in effect.frames]
                self.frames += len(effect.frames)
                self.bytes += sum(map(len, effect.frames))
            elif isinstance(effect, api.Send):
                other.inbox.append((effect.frame, bytes(6)))
            elif (event := disk(side, effect)) is not None:
                side.events.append((self.now + _DISK, event))


def receive_all(node: Node, batch: list[tuple[bytes, bytes]], now: int) -> None:
    """Hand a batch to a node as the driver does."""
    at = 0
    while at < len(batch):
        at = node.receive_run(batch, at, now)


def _replay(bench: Bench, kind: type[Peer]) -> Iterator[Result]:
    result = Result("replay", kind.name, conditions=Conditions(receivers=1, rate=0.0, mtu=bench.mtu))
    replay = Replay(bench.sizes.big, bench.mtu)
    replay.run()
    if replay.receiver.stored != bench.sizes.big:
        raise Unable(f"{replay.receiver.stored} of {bench.sizes.big} bytes came")
    result.figures = {
        "frames": replay.frames,
        "frame_bytes": replay.bytes / replay.frames,
        "sender_us": replay.origin.seconds / replay.frames * 1e6,
        "receiver_us": replay.receiver.seconds / replay.frames * 1e6,
    }
    yield result


def _space(sizes: Sizes, receivers: int) -> int:
    return 0


REPLAY = Scenario(
    "replay", "two nodes in one process, no disk and no wire: processor time per data frame", _space, play=_replay
)
