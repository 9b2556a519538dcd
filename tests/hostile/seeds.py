"""What a fuzzer begins with: each message as it should be, and what a member says while files are changed."""

from __future__ import annotations

from collections.abc import Iterator

from l2sync.frames import NOID, STREAMED, UNICAST, Entries, Keyring, Kind, pack_prefix, pack_updtree, parse_header
from l2sync.frames import parse_prefix as split_prefix
from l2sync.frames.stream import MORE
from l2sync.modtree import pack_entry
from tests.frames.examples import MESSAGES, PAYLOADS
from tests.simulation.world import KEY, SECOND, World

from .byzantine import WWW
from .targets import DELETES, PASSES, TO_ONE, UNFINISHED, WRITES, packed_step


def parser_seeds() -> Iterator[bytes]:
    """A frame of each kind."""
    for place, kind in enumerate(Kind):
        for body in _bodies(kind):
            prefix = pack_prefix(7, 0) if kind in STREAMED else b""
            yield bytes((place,)) + prefix + body


def node_seeds() -> Iterator[bytes]:
    """Each message to the node and to all, and whole conversations."""
    rest = packed_step(PASSES, 0, (50).to_bytes(2, "big"))
    for place, kind in enumerate(Kind):
        for body in _bodies(kind):
            yield packed_step(place, 0, body) + rest + packed_step(place, TO_ONE, body)
    for path in (b"new", b"keep/me", b"keep"):
        yield b"".join(conversation(path))
        write = packed_step(WRITES, 0, path.ljust(40, b"x")[:40] + b"mine")
        yield write + rest + b"".join(conversation(path)) + packed_step(DELETES, 0, b"keep/me")


def _bodies(kind: Kind) -> Iterator[bytes]:
    if kind is not Kind.UPDTREE:
        yield MESSAGES[kind].pack()
        return
    for payload in PAYLOADS.values():
        yield pack_updtree(WWW, 5, payload)
    world = synced()
    node = world.hosts[0].node
    assert node is not None
    packed = tuple(pack_entry(entry) for entry in node.trees["www"].tree.entries())
    yield pack_updtree(WWW, 5, Entries(True, 0, packed))


def synced() -> World:
    """Two hosts that have a file in common and nothing left to say."""
    world = World(2, seed=9)
    world.hosts[0].disk.write(b"keep/me", b"precious" * 100, 1)
    world.start()
    assert world.run(10 * SECOND, lambda: world.in_sync() and world.same())
    return world


def conversation(path: bytes) -> Iterator[bytes]:
    """What the second host says from a change of its own until all are in sync again."""
    world = synced()
    frames: list[bytes] = []
    world.segment.drop_when = lambda source, receiver, frame: bool(frames.append(frame) if source else None)
    if path == b"keep":
        world.delete(world.hosts[1], path)
    else:
        world.write(world.hosts[1], path, b"evil" * 50)
    world.run(SECOND // 2)
    world.run(10 * SECOND, lambda: world.in_sync() and world.same())
    reader = Keyring("sim", {1: KEY}, 1)
    kinds = list(Kind)
    for frame in frames:
        header = parse_header(frame)
        if header.kind == Kind.PING:
            continue
        body = reader.open(header, frame)
        flags = 0 if header.dst == NOID else TO_ONE
        if header.kind in STREAMED:
            prefix, body = split_prefix(body)
            flags |= UNFINISHED if prefix.flags & MORE else 0
            assert bool(prefix.flags & UNICAST) == bool(flags & TO_ONE)
        yield packed_step(kinds.index(Kind(header.kind)), flags, body)
        yield packed_step(PASSES, 0, (3).to_bytes(2, "big"))
