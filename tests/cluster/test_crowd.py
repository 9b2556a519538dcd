"""Many nodes that join at once: how many frames that takes; counts and simulated time depend on no machine."""

from __future__ import annotations

from collections import Counter
from functools import lru_cache

import pytest

from l2sync.cluster import Granted
from l2sync.frames import NOID, Ack, Header, Hello, Kind, Ping, Register, Roll, Welcome

from .test_cluster import MS, SECOND, Segment

ROOM = 1400


class Crowd(Segment):
    """Nodes whose frames have the usual size."""

    room = ROOM

    def everybody_sees_everybody(self) -> bool:
        return all(len(node.hub.online()) == len(self.nodes) - 1 for node in self.nodes.values())

    def join(self, limit: int) -> None:
        begin = self.now
        while not self.everybody_sees_everybody():
            assert self.now - begin < limit
            self.run(10 * MS)


@pytest.fixture(autouse=True)
def read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What all hear is parsed once for all: else two hundred nodes take minutes."""
    for message in (Hello, Welcome, Register, Roll, Ack, Ping):
        monkeypatch.setattr(message, "parse", lru_cache(1024)(message.parse))


@pytest.mark.slow
def test_two_hundred_nodes_join_and_lock_with_twenty_frames_each_in_three_seconds() -> None:
    segment = Crowd(200)
    segment.join(2500 * MS)
    holder = segment.nodes["web0"]
    number = holder.lock(1, [b""], 1, segment.now)
    segment.run(300 * MS)
    assert Granted(number) in segment.told["web0"]
    sent = Counter(name for name, _, _ in segment.frames)
    assert max(sent.values()) <= 20
    assert max(len(body) for _, _, body in segment.frames) <= ROOM
    assert {node.id for node in segment.nodes.values()} == set(range(200))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_a_crowd_gathers_on_a_segment_that_loses_doubles_and_delays(seed: int) -> None:
    segment = Crowd(24, seed=seed, loss=0.1, double=0.05, jitter=15 * MS)
    segment.join(15 * SECOND)
    assert len({node.id for node in segment.nodes.values()}) == 24


@pytest.mark.slow
def test_a_crowd_meets_again_after_it_was_parted() -> None:
    segment = Crowd(40)
    segment.join(3 * SECOND)
    names = list(segment.nodes)
    halves = {(a, b) for a in names[:20] for b in names[20:]}
    segment.deaf = halves | {(b, a) for a, b in halves}
    segment.run(5 * SECOND)
    assert all(len(node.hub.online()) == 19 for node in segment.nodes.values())
    segment.deaf = set()
    segment.join(5 * SECOND)


def test_few_nodes_are_answered_one_by_one_and_at_once() -> None:
    segment = Crowd(5)
    segment.join(600 * MS)
    assert Kind.ROLL not in {header.kind for _, header, _ in segment.frames}


def test_a_roll_that_does_not_echo_the_nonce_of_now_answers_nothing() -> None:
    segment = Crowd(2)
    segment.join(600 * MS)
    node, other = segment.nodes["web0"], segment.nodes["web1"]
    node.hub.unanswered.add(other.session)
    for nonce, answered in ((bytes(8), False), (node.hub.nonce, True)):
        body = Roll(0, ((0, b"elsewher"), (0, nonce))).pack()
        serial = other.hub.next_serial()
        header = Header(Kind.ROLL, b"xxxx", 1, other.source_id, NOID, other.session, serial, len(body))
        node.receive(header, body, segment.now)
        assert (other.session not in node.hub.unanswered) == answered
