"""Three cluster machines that are led, move by move, through a run of docs/model/join.pml.

As in `walker`, a frame is delivered when a move says so and never otherwise: what is sent again in time counts
as lost until then. Each node has a clock of its own; a move that waits for a timer turns it on.
"""

from __future__ import annotations

from dataclasses import replace
from random import Random

from l2sync.cluster import Cluster, Peer, PeerState
from l2sync.frames import NOID, Ack, Header, Kind, Register, Rej, RejReason, Welcome

from .walker import NEVER, SETTINGS, Frame

NODES = range(3)
TRIES = 60
AGE = 1 << 20
JOIN_SETTINGS = replace(SETTINGS, settled=AGE, ping_interval=NEVER)


class Joiner:
    """The machines, the refusals on their way between them, and the model's moves as methods."""

    def __init__(self) -> None:
        self.nodes: list[Cluster] = []
        self.lives, self.clocks = [0, 0, 0], [1, 1, 1]
        self.hellos: dict[int, Frame] = {}
        self.refusals: dict[tuple[int, int], Frame] = {}
        self.seen: list[Frame] = []
        for i in NODES:
            self.nodes.append(self._start(i, {}))

    def _start(self, i: int, registry: dict[str, int]) -> Cluster:
        self.lives[i] += 1
        session = (i + 1 << 32) + 16 * (i + 1) + self.lives[i]
        nonce, rng = session.to_bytes(8, "big"), Random(i)
        node = Cluster(
            name=f"n{i}", session=session, nonce=nonce, room=400, registry=registry, rng=rng, settings=JOIN_SETTINGS
        )
        node.start(self.clocks[i])
        return node

    def current(self, i: int, j: int) -> Peer | None:
        """What i knows of the present session of j."""
        return self.nodes[i].hub.sessions.get(self.nodes[j].session)

    def named(self, i: int, j: int) -> Peer | None:
        """The session of j whose id i knows."""
        return next((peer for peer in self.nodes[i].peers.values() if peer.name == f"n{j}"), None)

    def awaits(self, i: int, j: int) -> bool:
        """Whether i has yet to hear that j has its register."""
        node = self.nodes[i]
        return node.membership.active and self.nodes[j].session in node.hub.unanswered

    def move(self, name: str, i: int, *others: int) -> None:
        """Make one move of node i."""
        getattr(self, "_" + name)(i, *others)

    # --- frames -----------------------------------------------------------------------------------

    def _tick(self, i: int, step: int) -> list[Frame]:
        node, self.clocks[i] = self.nodes[i], self.clocks[i] + step
        node.handle_timer(self.clocks[i])
        sent: list[Frame] = []
        for frame in node.take_frames():
            size = len(frame.body)
            header = Header(frame.kind, b"xxxx", 1, node.source_id, frame.dst, node.session, frame.serial, size)
            sent.append((header, frame.body))
            if header.kind == Kind.HELLO:
                self.hellos.setdefault(i, sent[-1])
        return sent

    def _until(self, i: int, step: int, kind: Kind, session: int) -> Frame:
        """The next frame of i of this kind that names a session."""
        for _ in range(TRIES):
            for header, body in self._tick(i, step):
                if header.kind == kind and session in _named_in(header.kind, body):
                    return header, body
        raise AssertionError(f"{i} sends no {kind.name} for {session:x}")

    def _give(self, i: int, frame: Frame) -> None:
        self.nodes[i].receive(*frame, self.clocks[i])

    # --- moves ------------------------------------------------------------------------------------

    def _choose(self, i: int) -> None:
        for _ in range(TRIES):
            if self.nodes[i].membership.active:
                return
            self._tick(i, 10)
        raise AssertionError(f"{i} takes no id")

    def _hail(self, i: int, j: int) -> None:
        if i not in self.hellos:
            self._tick(i, 0)
        self._give(j, self.hellos[i])
        self._give(i, self._until(j, 2, Kind.WELCOME, self.nodes[i].session))

    def _challenge(self, i: int, j: int) -> None:
        other = self.nodes[j]
        ping = Header(Kind.PING, b"xxxx", 1, other.source_id, NOID, other.session, other.next_serial(), 0)
        self.nodes[i].stranger(ping, self.clocks[i], None)
        self._give(j, self._until(i, 2, Kind.WELCOME, other.session))

    def _register(self, i: int, j: int) -> None:
        namesake = self.named(i, j)
        if namesake is not None and namesake.session != self.nodes[j].session:
            # A session of the same name is believed in for a ping and a half.
            namesake.last_seen = -2 * NEVER
        self._give(i, self._until(j, 10, Kind.REGISTER, self.nodes[i].session))
        self.seen = self._tick(i, 0)
        for frame in self.seen:
            for j in NODES:
                if frame[0].kind == Kind.REJ and self.nodes[j].session & 0xFFFFFFFF in _named_in(Kind.REJ, frame[1]):
                    self.refusals[j, i] = frame

    def _answered(self, i: int, j: int) -> None:
        """The register of i was just taken by j, whose answer comes now."""
        session = self.nodes[i].session
        for header, body in self.seen:
            if header.kind == Kind.ACK and Ack.parse(body).session == session:
                self._give(i, (header, body))

    def _refused(self, i: int, j: int) -> None:
        self._give(i, self.refusals.pop((i, j)))

    def _lose(self, i: int, j: int) -> None:
        self.refusals.pop((i, j))

    def _age(self, i: int) -> None:
        self.clocks[i] += AGE + 1

    def _crash(self, i: int) -> None:
        mine = self.nodes[i].hub.id
        self.hellos.pop(i, None)
        self.refusals = {key: frame for key, frame in self.refusals.items() if key[0] != i}
        self.nodes[i] = self._start(i, {f"n{i}": mine})


def _named_in(kind: int, body: bytes) -> list[int]:
    """The sessions that a frame is for; of a refusal the last 32 bits."""
    if kind == Kind.WELCOME:
        return [newcomer.session for newcomer in Welcome.parse(body).newcomers]
    if kind == Kind.REGISTER:
        return [echo.session for echo in Register.parse(body).echoes]
    refusal = Rej.parse(body)
    return [refusal.number] if refusal.reason is RejReason.ID_TAKEN else []


STATES = {PeerState.REGISTERING: 1, PeerState.ONLINE: 2, PeerState.OFFLINE: 3}


def compare_pair(walk: Joiner, i: int, j: int, told: list[int]) -> None:
    """``told``: the id of j for i, its state, whether both are of an earlier session, whether i awaits an answer."""
    known, state, ghost, awaits = told
    if ghost and not known:  # it is over, and has no id any more
        state = 0
    named = walk.named(i, j)
    peer = named if ghost else walk.current(i, j)
    seen = [0 if named is None else named.id + 1, 0 if peer is None else STATES[peer.state], walk.awaits(i, j)]
    assert seen == [known, state, bool(awaits)], f"{j} for {i}: {seen}"


def follow(lines: list[str]) -> int:
    """Walk a printed run; how many moves it had."""
    walk, moves = Joiner(), []
    for line in lines:
        word, *rest = line.split() or [""]
        try:
            if word == "MOVE":
                moves.append(line[5:])
                walk.move(rest[0], *map(int, rest[1:]))
            elif word == "IDS":
                ids = [0 if node.hub.id == NOID else node.hub.id + 1 for node in walk.nodes]
                assert ids == [int(n) for n in rest], ids
            elif word == "PAIR":
                i, j, *told = map(int, rest)
                compare_pair(walk, i, j, told)
        except AssertionError as error:
            raise AssertionError(f"{error}\nmodel: {line}\nafter: {'; '.join(moves)}") from error
    return len(moves)
