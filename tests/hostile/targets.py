"""What the coverage-guided fuzzer and the tests of its corpus run: bytes in, and a promise that must hold."""

from __future__ import annotations

import contextlib
import copy
import functools
from collections.abc import Iterator
from random import Random

import msgspec

from l2sync.frames import (
    NOID,
    STREAMED,
    UNICAST,
    Keyring,
    Kind,
    Reassembler,
    RemoteError,
    Updtree,
    pack_prefix,
    parse_header,
    parse_message,
    parse_prefix,
    unpack_updtree,
)
from l2sync.frames.stream import MORE
from l2sync.modtree import InvalidPath, MalformedEntry, tree_path, unpack_entry
from l2sync.node.api import Persist, Send, SendRun
from tests.simulation.world import KEY, MS, SECOND, Host, World

TO_ONE, RAW, UNFINISHED, NOBODY, STRANGER, LEAP = 1, 2, 4, 8, 16, 32
"""Flags of a step: for one node; with a prefix of its own; more follows; without an id; of another session; a leap."""
PASSES, WRITES, DELETES = 0x80, 0x81, 0x82
"""Steps that are no frames: time, and a user on the attacked host."""
_STRANGE_SESSION = 0x5EED
_MOST_STEPS = 64


def parser(data: bytes) -> None:
    """A frame's header, then a plaintext of the kind that the first byte names: parses, or raises RemoteError."""
    with contextlib.suppress(RemoteError):
        parse_header(data)
    if len(data) < 2:
        return
    kinds = list(Kind)
    kind, body = kinds[data[0] % len(kinds)], data[1:]
    try:
        if kind in STREAMED:
            prefix, body = parse_prefix(body)
            whole = Reassembler().feed(body, prefix.more)
            if whole is None:
                return
            body = whole
        message = parse_message(kind, body)
        assert message.pack() == body, "what parses packs to the same bytes"
        if isinstance(message, Updtree):
            payload = unpack_updtree(message)
            for packed in getattr(payload, "entries", ()):
                unpack_entry(packed)
    except (RemoteError, MalformedEntry, InvalidPath):
        return


def steps(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """An input of the node's target: what each step does, its flags, and its bytes."""
    at = count = 0
    while at + 4 <= len(data) and count < _MOST_STEPS:
        size = int.from_bytes(data[at + 2 : at + 4], "big")
        yield data[at], data[at + 1], data[at + 4 : at + 4 + size]
        at, count = at + 4 + size, count + 1


def packed_step(what: int, flags: int, content: bytes) -> bytes:
    """The inverse of `steps`."""
    return bytes((what, flags)) + len(content).to_bytes(2, "big") + content


@functools.cache
def synced() -> tuple[Host, int, int, int, int]:
    """The host to be attacked, the time, and the id, session and next serial of the member that has gone bad."""
    world = World(2, seed=9)
    world.hosts[0].disk.write(b"keep/me", b"precious" * 100, 1)
    world.start()
    assert world.run(10 * SECOND, lambda: world.in_sync() and world.same())
    bad = world.hosts[1].node
    assert bad is not None
    hub = bad.cluster.hub
    return world.hosts[0], world.now, hub.id, hub.session, hub.serial


class Attack:
    """One node on one disk, and a member that says what the input tells it to."""

    def __init__(self) -> None:
        base, self.now, self.id, self.session, self.serial = synced()
        assert base.node is not None
        # Ciphers have no state of their own and cannot be copied.
        shared = {id(cipher): cipher for cipher in base.node.keyring._ciphers.values()}
        self.host = copy.deepcopy(base, shared)
        assert self.host.node is not None
        self.node = self.host.node
        peer = self.node.cluster.hub.sessions[self.session]
        assert peer.broadcast_in is not None
        self.places = {False: peer.broadcast_in.expected, True: 0}
        self.sealer = Keyring("sim", {1: KEY}, 1)
        self.sealer._ciphers = self.node.keyring._ciphers

    def run(self, data: bytes) -> None:
        """All steps, then time in which the node gives up whom it hears no more of."""
        for what, flags, content in steps(data):
            self._step(what, flags, content)
            self._effects()
        for _ in range(3):
            self._pass(2 * SECOND)
        self._check()

    def _step(self, what: int, flags: int, content: bytes) -> None:
        if what == PASSES:
            self._pass(int.from_bytes(content[:2], "big") * MS)
        elif what in (WRITES, DELETES):
            try:
                place = bytes(tree_path(content[:40]))
            except InvalidPath:
                return
            if what == WRITES and place:
                self.host.disk.write(place, content[40:], self.now)
            elif place:
                self.host.disk.delete(place)
            self.node.disk_reported(self.host.disk.scan(None), self.now)
        else:
            self._say(list(Kind)[what % len(Kind)], flags, content)

    def _say(self, kind: Kind, flags: int, content: bytes) -> None:
        to_one = bool(flags & TO_ONE)
        if kind in STREAMED and not flags & RAW:
            more = MORE if flags & UNFINISHED else 0
            content = pack_prefix(self.places[to_one], more | (UNICAST if to_one else 0)) + content
            self.places[to_one] += 1
        self.serial += 1 << 13 if flags & LEAP else 1
        src = NOID if flags & NOBODY else self.id + 1 if flags & STRANGER else self.id
        dst = self.node.cluster.id if to_one else NOID
        session = _STRANGE_SESSION if flags & STRANGER else self.session
        frame = self.sealer.seal(kind, src, dst, session, self.serial, content)
        self.node.receive(frame, self.now, b"\2\0\0\0\0\7")

    def _pass(self, span: int) -> None:
        """Time passes; timers are served when they are due."""
        end = self.now + span
        for _ in range(200):
            due = self.node.next_deadline(self.now)
            if due is None or due > end:
                break
            self.now = max(self.now, due)
            self.node.handle_timer(self.now)
            self._effects()
        self.now = end

    def _effects(self) -> None:
        waiting = self.node.take_effects()
        while waiting:
            for effect in waiting:
                if isinstance(effect, Send):
                    assert len(effect.frame) <= 1500
                elif isinstance(effect, SendRun):
                    assert max(map(len, effect.frames)) <= 1500
                elif isinstance(effect, Persist):
                    assert all(tree_path(bytes(entry.path)) == entry.path for entry in effect.entries)
                event = self.host.disk.handle(effect)
                if event is not None:
                    self.node.disk_reported(event, self.now)
            waiting = self.node.take_effects()

    def _check(self) -> None:
        for path in self.host.disk.files:
            assert tree_path(bytes(path)) == path and not path.startswith(b".l2sync")
        msgspec.json.encode(self.node.status(self.now))
        assert self.node.cluster.hub.name == "web0"
        # The node still works: what its user writes now is its own at once.
        self.host.disk.write(b"works", Random(1).randbytes(20), self.now)
        self.node.disk_reported(self.host.disk.scan(None), self.now)
        self._effects()
        self._pass(SECOND)
        assert any(entry.path == b"works" for entry in self.node.trees["www"].tree.entries())


def node(data: bytes) -> None:
    """Sealed frames of a member gone bad, time, and a user at work: the node survives, and still works."""
    Attack().run(data)


TARGETS = {"parser": parser, "node": node}
