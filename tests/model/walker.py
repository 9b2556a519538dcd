"""Three cluster machines that are led, move by move, through a run of docs/model/locks.pml.

A frame is delivered when the model's move says so and never otherwise: what is sent again and again in time, as a
register is, counts as lost until then. Each node has a clock of its own, turned on where a move waits for a timer.
"""

from __future__ import annotations

from random import Random

from l2sync.cluster import Cluster, ClusterSettings, Peer, PeerState
from l2sync.frames import NOID, STREAMED, UNICAST, Ack, Header, Kind, Register, Welcome, parse_prefix

NEVER = 1 << 50
RTO = 1 << 20
SETTINGS = ClusterSettings(
    hello_interval=8,
    gather_min=1,
    gather_max=2,
    challenge_interval=0,
    welcome_interval=0,
    register_interval=10,
    register_timeout=NEVER,
    ping_interval=1000,
    pings_missed=1 << 30,
    initial_rto=RTO,
    min_rto=RTO,
    max_rto=RTO,
    answer_timeout=NEVER,
    claim_patience=NEVER,
    claim_most=NEVER,
    ack_delay=0,
    doubt_after=NEVER,
)
NODES = range(3)
Frame = tuple[Header, bytes]


class Walker:
    """The machines, what is on its way between them, and the model's moves as methods."""

    def __init__(self, apart: bool = False) -> None:
        self.nodes: list[Cluster | None] = [None, None, None]
        self.lives, self.clocks, self.base, self.claims = [0, 0, 0], [1, 1, 1], [0, 0, 0], [0, 0, 0]
        self.streams: list[dict[int, Frame]] = [{}, {}, {}]
        self.hellos: list[Frame | None] = [None, None, None]
        self.mail: dict[tuple[str, int, int], list[Frame]] = {}
        for new in (2, 0, 1):
            self.move("return", new)
            for _ in range(8):
                self._mingle({(0, 1), (1, 0)} if apart else set())
        self.base = [self.at(i).hub.broadcast_next for i in NODES]

    def at(self, i: int) -> Cluster:
        """A node that is up."""
        node = self.nodes[i]
        assert node is not None
        return node

    def peer(self, i: int, j: int) -> Peer | None:
        """What i knows of the present session of j."""
        return self.at(i).hub.sessions.get((j + 1 << 32) + self.lives[j])

    def move(self, name: str, i: int, *others: int) -> None:
        """Make one move of node i."""
        getattr(self, "_" + name)(i, *others)
        if self.nodes[i] is not None:
            self._tick(i, 0)

    def lose(self, what: str, i: int, j: int) -> None:
        """What is on its way from j to i does not come."""
        self.mail.pop((what, i, j), None)

    # --- frames -----------------------------------------------------------------------------------

    def _tick(self, i: int, step: int) -> list[Frame]:
        node, self.clocks[i] = self.at(i), self.clocks[i] + step
        node.handle_timer(self.clocks[i])
        sent = []
        for frame in node.take_frames():
            size = len(frame.body)
            header = Header(frame.kind, b"xxxx", 1, node.source_id, frame.dst, node.session, frame.serial, size)
            sent.append((header, frame.body))
            self._sort(i, header, frame.body)
        return sent

    def _sort(self, i: int, header: Header, body: bytes) -> None:
        if header.kind in STREAMED:
            prefix, _ = parse_prefix(body)
            if not prefix.flags & UNICAST:
                self.streams[i].setdefault(prefix.seq, (header, body))
        elif header.kind == Kind.HELLO:
            self.hellos[i] = (header, body)
        elif header.kind == Kind.ACK:
            ack = Ack.parse(body)
            name = "answer" if ack.registration is None else "confirm"
            self.mail.setdefault((name, (ack.session >> 32) - 1, i), []).append((header, body))

    def _take_mail(self, name: str, i: int, j: int) -> None:
        for header, body in self.mail.pop((name, i, j), []):
            self.at(i).receive(header, body, self.clocks[i])

    def _mingle(self, deaf: set[tuple[int, int]]) -> None:
        up = [i for i in NODES if self.nodes[i] is not None]
        sent = [(i, frame) for i in up for frame in self._tick(i, 10)]
        for j, (header, body) in sent:
            for i in up:
                if i != j and (i, j) not in deaf:
                    self.at(i).receive(header, body, self.clocks[i])
        self.mail.clear()

    # --- moves ------------------------------------------------------------------------------------

    def _claim(self, i: int) -> None:
        self.claims[i] = self.at(i).lock(1, [b"a"], 1, self.clocks[i])

    def _grant(self, i: int) -> None:
        pass

    def _release(self, i: int) -> None:
        self.at(i).unlock(self.claims[i], True, self.clocks[i])

    def _take(self, i: int, j: int) -> None:
        peer = self.peer(i, j)
        assert peer is not None and peer.broadcast_in is not None
        place = peer.broadcast_in.expected
        header, body = self.streams[j][place]
        self.at(i).receive(header, body, self.clocks[i])
        if peer.broadcast_in.expected == place:
            # The frame is from before the one that placed the session: it comes when it is sent again.
            self._repeat(j, i, range(place, place + 1))
        self._tick(i, 0)

    def _repeat(self, j: int, i: int, places: range) -> None:
        """What j still has to be answered is sent again, and i hears of it what is at these places."""
        for header, body in self._tick(j, RTO << 7):
            if header.kind in STREAMED and parse_prefix(body)[0].seq in places:
                self.at(i).receive(header, body, self.clocks[i])

    def _answer(self, i: int, j: int) -> None:
        peer = self.peer(i, j)
        assert peer is not None and peer.broadcast_in is not None
        self._repeat(j, i, range(peer.broadcast_in.expected))
        self.mail.pop(("answer", j, i), None)
        self._tick(i, 0)
        self._take_mail("answer", j, i)
        self._tick(j, 0)

    def _drop(self, i: int, j: int) -> None:
        known = [p for p in self.at(i).hub.sessions.values() if p.name == f"n{j}" and p.state is PeerState.ONLINE]
        self.at(i).presence.offline(known[0], "not heard of", self.clocks[i])
        for name in ("challenge", "register", "confirm", "answer"):
            self.mail.pop((name, i, j), None)

    def _challenge(self, i: int, j: int) -> None:
        other, hello = self.at(j), self.hellos[j]
        if self.lives[j] > 1 and hello is not None:
            self.at(i).receive(*hello, self.clocks[i])
        else:
            header = Header(Kind.PING, b"xxxx", 1, other.source_id, NOID, other.session, other.next_serial(), 0)
            self.at(i).stranger(header, self.clocks[i], None)
        welcomes = [f for f in self._tick(i, 2) if f[0].kind == Kind.WELCOME]
        assert any(n.session == other.session for f in welcomes for n in Welcome.parse(f[1]).newcomers)
        self.mail["challenge", j, i] = welcomes

    def _challenged(self, i: int, j: int) -> None:
        self._take_mail("challenge", i, j)

    def _register(self, i: int, j: int) -> None:
        session = self.at(j).session
        for _ in range(10):
            for frame in self._tick(i, 10):
                if frame[0].kind == Kind.REGISTER and session in [e.session for e in Register.parse(frame[1]).echoes]:
                    self.mail["register", j, i] = [frame]
                    return
        raise AssertionError(f"{i} does not register with {j}")

    def _registered(self, i: int, j: int) -> None:
        # A session of the same name is believed in for a ping and a half.
        self.clocks[i] += 2 * SETTINGS.ping_interval
        known = self.peer(i, j)
        if known is not None and known.state is PeerState.ONLINE:
            # It was placed by a later frame: the register is one sent again.
            self._register(j, i)
        self._take_mail("register", i, j)

    def _confirmed(self, i: int, j: int) -> None:
        self._take_mail("confirm", i, j)
        peer = self.peer(i, j)
        if peer is None or self.at(i).membership.doubts(peer):
            # A later frame placed it, and made this one a recording: the register and its answer are sent again.
            self._register(i, j)
            self._take_mail("register", j, i)
            self._tick(j, 0)
            self._take_mail("confirm", i, j)

    def _crash(self, i: int) -> None:
        self.nodes[i], self.base[i], self.claims[i] = None, 0, 0
        self.streams[i], self.hellos[i] = {}, None
        self.mail = {key: frames for key, frames in self.mail.items() if i not in key[1:]}

    def _return(self, i: int) -> None:
        self.lives[i] += 1
        session = (i + 1 << 32) + self.lives[i]
        nonce = session.to_bytes(8, "big")
        self.nodes[i] = Cluster(
            name=f"n{i}", session=session, nonce=nonce, room=400, registry={}, rng=Random(i), settings=SETTINGS
        )
        self.at(i).start(self.clocks[i])
