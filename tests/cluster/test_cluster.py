"""Cluster machines on a segment that loses, doubles and delays, from one seed."""

from __future__ import annotations

import heapq
from random import Random

import pytest

from l2sync.cluster import Cluster, Delivered, Event, Granted, PeerOffline, Refused, Released
from l2sync.cluster.membership import SelfState
from l2sync.frames import NOID, Header, Kind

MS = 1_000_000
SECOND = 1_000_000_000


class Segment:
    """Clusters in simulated time; what each was told is kept in ``told``."""

    room = 400

    def __init__(self, count: int, seed: int = 1, loss: float = 0.0, double: float = 0.0, jitter: int = 0) -> None:
        self.rng, self.loss, self.double, self.jitter = Random(seed), loss, double, jitter
        self.now, self._order = SECOND, 0
        self.nodes: dict[str, Cluster] = {}
        self.told: dict[str, list[Event]] = {}
        self.cut: set[str] = set()
        self.deaf: set[tuple[str, str]] = set()
        self.frames: list[tuple[str, Header, bytes]] = []
        self._queue: list[tuple[int, int, str, Header, bytes]] = []
        for number in range(count):
            self.add(f"web{number}")

    def add(self, name: str, **more: object) -> Cluster:
        node = Cluster(
            name=name,
            session=self.rng.getrandbits(64),
            nonce=self.rng.randbytes(8),
            room=self.room,
            registry={},
            rng=Random(self.rng.getrandbits(32)),
        )
        self.nodes[name], self.told[name] = node, []
        node.start(self.now)
        return node

    def run(self, duration: int) -> None:
        end = self.now + duration
        self._collect()
        while self.now < end:
            times = [end] + [max(t, self.now) for n in self.nodes.values() if (t := n.next_deadline()) is not None]
            if self._queue:
                times.append(max(self._queue[0][0], self.now))
            self.now = min(times)
            while self._queue and self._queue[0][0] <= self.now:
                _, _, name, header, body = heapq.heappop(self._queue)
                if name in self.nodes and name not in self.cut:
                    self.nodes[name].receive(header, body, self.now)
            for node in self.nodes.values():
                if (due := node.next_deadline()) is not None and due <= self.now:
                    node.handle_timer(self.now)
            self._collect()

    def _collect(self) -> None:
        for name, node in self.nodes.items():
            self.told[name] += node.take_events()
            for frame in node.take_frames():
                size = len(frame.body)
                header = Header(frame.kind, b"xxxx", 1, node.source_id, frame.dst, node.session, frame.serial, size)
                self.frames.append((name, header, frame.body))
                self._spread(name, header, frame.body)

    def _spread(self, sender: str, header: Header, body: bytes) -> None:
        for name in self.nodes:
            for _ in range(1 + (self.rng.random() < self.double)):
                if name != sender and self.rng.random() >= self.loss and not {name, sender} & self.cut:
                    if (sender, name) in self.deaf:
                        continue
                    self._order += 1
                    at = self.now + 50_000 + (self.rng.randrange(self.jitter) if self.jitter else 0)
                    heapq.heappush(self._queue, (at, self._order, name, header, body))

    def bodies(self, name: str, sender: str) -> list[bytes]:
        session = self.nodes[sender].session
        return [e.body for e in self.told[name] if isinstance(e, Delivered) and e.session == session]


def joined(count: int, **more: float) -> Segment:
    segment = Segment(count, **more)  # type: ignore[arg-type]
    segment.run(4 * SECOND)
    assert sorted(node.id for node in segment.nodes.values()) == list(range(count))
    assert all(len(node.hub.online()) == count - 1 for node in segment.nodes.values())
    return segment


def test_hello_is_serial_zero_and_register_serial_one_of_one_who_is_welcomed() -> None:
    segment = Segment(1)
    segment.run(2 * SECOND)
    segment.add("late")
    segment.run(SECOND)
    said = [(h.kind, h.serial, h.src) for name, h, _ in segment.frames if name == "late"][:2]
    assert said == [(Kind.HELLO, 0, NOID), (Kind.REGISTER, 1, 1)]


@pytest.mark.parametrize("seed", range(5))
def test_messages_arrive_once_and_in_order_in_spite_of_loss_doubling_and_disorder(seed: int) -> None:
    segment = joined(3, seed=seed)
    segment.loss, segment.double, segment.jitter = 0.2, 0.1, 4 * MS
    sent = [b"%d" % i + b"." * (i * 37 % 1500) for i in range(60)]
    for body in sent:
        segment.nodes["web0"].send(Kind.UPDTREE, body, segment.now)
        segment.nodes["web1"].send(Kind.UPDTREE, b"to2" + body, segment.now, segment.nodes["web2"].id)
        segment.run(3 * MS)
    segment.run(8 * SECOND)
    assert segment.bodies("web1", "web0") == sent == segment.bodies("web2", "web0")
    assert segment.bodies("web2", "web1") == [b"to2" + body for body in sent]
    assert segment.bodies("web0", "web1") == []


def test_a_message_of_many_fragments_arrives_whole_and_the_window_bounds_what_flies() -> None:
    segment = joined(2)
    body = Random(1).randbytes(300_000)
    segment.nodes["web0"].send(Kind.UPDTREE, body, segment.now)
    assert len(segment.nodes["web0"].messenger.tracker.by_serial) <= 256
    segment.run(3 * SECOND)
    assert segment.bodies("web1", "web0") == [body]


def test_silence_is_noticed_after_three_pings_and_goodbye_at_once() -> None:
    segment = joined(3)
    segment.cut.add("web2")
    segment.run(4 * SECOND)
    assert [e.reason[:12] for e in segment.told["web0"] if isinstance(e, PeerOffline)] == ["not heard of"]
    segment.nodes["web1"].leave("off", segment.now)
    segment.run(5 * MS)
    assert [e.reason for e in segment.told["web0"] if isinstance(e, PeerOffline)][-1] == "off"


def test_a_node_that_was_cut_off_is_back_after_the_cut_and_streams_go_on() -> None:
    segment = joined(3)
    segment.cut.add("web2")
    segment.run(5 * SECOND)
    segment.nodes["web0"].send(Kind.UPDTREE, b"missed", segment.now)
    segment.run(SECOND)
    segment.cut.clear()
    segment.run(4 * SECOND)
    segment.nodes["web0"].send(Kind.UPDTREE, b"heard", segment.now)
    segment.nodes["web2"].send(Kind.UPDTREE, b"back", segment.now)
    segment.run(SECOND)
    assert segment.bodies("web2", "web0") == [b"heard"] and segment.bodies("web0", "web2") == [b"back"]


def test_replayed_frames_and_frames_of_a_session_that_is_over_change_nothing() -> None:
    segment = joined(2)
    segment.nodes["web0"].send(Kind.UPDTREE, b"once", segment.now)
    segment.run(SECOND)
    target, old = segment.nodes["web1"], [(h, b) for name, h, b in segment.frames if name == "web0"]
    for header, body in old:
        target.receive(header, body, segment.now)
    assert segment.bodies("web1", "web0") == [b"once"] and target.counters["replayed"] > 0
    segment.nodes["web0"].leave("off", segment.now)
    segment.run(SECOND)
    for header, body in old:
        target.receive(header, body, segment.now)
    segment.run(SECOND)
    assert not target.hub.online()


def test_a_second_node_of_one_name_is_refused_and_the_first_stays() -> None:
    segment = joined(2)
    first = segment.nodes["web0"]
    segment.nodes["first"] = segment.nodes.pop("web0")
    segment.told["first"] = []
    twin = segment.add("web0")
    segment.run(2 * SECOND)
    assert any(isinstance(e, Refused) for e in segment.told["web0"]) and twin.id == NOID and first.id in (0, 1)


@pytest.mark.parametrize("seed", range(6))
def test_no_two_nodes_ever_hold_overlapping_locks_and_each_gets_its_turn(seed: int) -> None:
    segment = joined(3, seed=seed)
    segment.loss, segment.jitter = 0.15, 2 * MS
    numbers = {n: node.lock(1, [b"a/b" if n == "web0" else b"a"], 1, segment.now) for n, node in segment.nodes.items()}
    released: list[str] = []
    for _ in range(400):
        segment.run(20 * MS)
        holders = [
            n
            for n, number in numbers.items()
            if n not in released and any(isinstance(e, Granted) and e.number == number for e in segment.told[n])
        ]
        assert len(holders) <= 1
        for name in holders:
            segment.nodes[name].unlock(numbers[name], True, segment.now)
            released.append(name)
    assert sorted(released) == ["web0", "web1", "web2"]
    assert sum(isinstance(e, Released) for e in segment.told["web0"]) == 2


def test_the_death_of_a_holder_frees_its_locks_and_newcomers_hear_of_those_that_stand() -> None:
    segment = joined(2)
    segment.nodes["web0"].lock(1, [b"a"], 2, segment.now)
    segment.run(100 * MS)
    segment.nodes["web1"].lock(1, [b"a"], 2, segment.now)
    segment.add("late")
    segment.run(2 * SECOND)
    assert len(segment.nodes["late"].locks) == 2
    assert not any(isinstance(e, Granted) for e in segment.told["web1"])
    segment.cut.add("web0")
    segment.run(5 * SECOND)
    assert any(isinstance(e, Granted) for e in segment.told["web1"]) and len(segment.nodes["late"].locks) == 1


@pytest.mark.slow
def test_sixty_nodes_join_at_once_under_different_ids_with_few_frames_each() -> None:
    segment = Segment(60)
    segment.run(3 * SECOND)
    assert sorted(node.id for node in segment.nodes.values()) == list(range(60))
    joining = [h for _, h, _ in segment.frames if h.kind in (Kind.HELLO, Kind.WELCOME, Kind.REGISTER)]
    assert len(joining) / 60 <= 20


def granted(segment: Segment, name: str, number: int) -> bool:
    return Granted(number) in segment.told[name]


def test_a_claim_that_came_ahead_of_a_gap_is_no_answer_yet() -> None:
    """The receiver has acknowledged it without knowing it, and would claim with an earlier stamp."""
    segment = joined(3)
    rival, first = sorted(segment.nodes, key=lambda name: segment.nodes[name].session)[:2]
    segment.deaf = {(first, rival)}
    segment.nodes[first].send(Kind.UPDTREE, b"lost on its way to one", segment.now)
    segment.run(MS)
    segment.deaf = set()
    ours = segment.nodes[first].lock(1, [b"a"], 1, segment.now)
    segment.run(MS)
    theirs = segment.nodes[rival].lock(1, [b"a"], 1, segment.now)
    segment.run(SECOND)
    assert granted(segment, first, ours) + granted(segment, rival, theirs) == 1


def test_a_node_that_was_dropped_without_noticing_has_its_lock_known_again() -> None:
    segment = joined(3)
    holder, other = sorted(segment.nodes)[:2]
    held = segment.nodes[holder].lock(1, [b"a"], 1, segment.now)
    segment.run(SECOND)
    assert granted(segment, holder, held)
    segment.deaf = {(holder, other)}
    segment.run(4 * SECOND)
    segment.deaf = set()
    segment.run(2 * SECOND)
    assert not any(isinstance(event, PeerOffline) for event in segment.told[holder])
    wanted = segment.nodes[other].lock(1, [b"a"], 1, segment.now)
    segment.run(SECOND)
    assert not granted(segment, other, wanted)
    segment.nodes[holder].unlock(held, True, segment.now)
    segment.run(SECOND)
    assert granted(segment, other, wanted)


def test_who_comes_with_an_older_claim_does_not_step_in_front_of_one_that_is_held() -> None:
    segment = joined(3)
    first, second, third = sorted(segment.nodes, key=lambda name: segment.nodes[name].session)
    segment.deaf = {(first, second), (second, first)}
    segment.run(4 * SECOND)
    segment.deaf |= {(third, first)}
    early = segment.nodes[first].lock(1, [b"a"], 1, segment.now)
    held = segment.nodes[second].lock(1, [b"a"], 1, segment.now)
    segment.run(500 * MS)
    assert granted(segment, second, held)
    segment.deaf = {(third, first)}
    segment.run(1500 * MS)
    assert len(segment.nodes[first].hub.online()) == len(segment.nodes[second].hub.online()) == 2
    segment.deaf = set()
    segment.run(3 * SECOND)
    assert not granted(segment, first, early)
    segment.nodes[second].unlock(held, True, segment.now)
    segment.run(SECOND)
    assert granted(segment, first, early)


def test_what_was_said_to_all_between_a_register_and_its_answer_leaves_no_gap() -> None:
    segment = Segment(1)
    segment.run(SECOND)
    late = segment.add("late")
    while late.membership.state is not SelfState.REGISTERING:
        segment.run(MS // 10)
    number = late.lock(1, [b"a"], 2, segment.now)
    segment.run(SECOND)
    assert Granted(number) in segment.told["late"]
    assert [claim.number for claim in segment.nodes["web0"].locks] == [number]
    late.unlock(number, True, segment.now)
    segment.run(SECOND)
    assert len(segment.nodes["web0"].locks) == 0


def test_the_end_of_a_claim_reaches_who_heard_of_it_before_it_was_known_to_be_here() -> None:
    segment = Segment(2)
    segment.run(SECOND)
    late = segment.add("late")
    while late.membership.state is not SelfState.REGISTERING:
        segment.run(MS // 100)
    segment.deaf = {("web1", "late")}
    while not late.hub.online():
        segment.run(MS // 10)
    number = late.lock(1, [b"a"], 2, segment.now)
    segment.run(MS)
    assert [claim.number for claim in segment.nodes["web1"].locks] == [number]
    segment.deaf = {("late", "web1")}
    late.unlock(number, True, segment.now)
    segment.run(MS)
    segment.deaf = set()
    segment.run(SECOND)
    assert len(segment.nodes["web1"].locks) == 0
    segment.nodes["web1"].lock(1, [b"a"], 2, segment.now)
    segment.run(SECOND)
    assert any(isinstance(event, Granted) for event in segment.told["web1"])
