"""Nodes that get no processor time for seconds while all join at once."""

from __future__ import annotations

import heapq
from random import Random

import pytest

from l2sync.frames import Kind

from .test_cluster import MS, SECOND, Segment


class StallingSegment(Segment):
    """A node that stalls takes no frames and misses its deadlines; both wait for it."""

    def __init__(self, count: int, seed: int) -> None:
        super().__init__(count, seed=seed, jitter=2 * MS)
        rng = Random(seed)
        self.stalls: dict[str, list[tuple[int, int]]] = {}
        for name in self.nodes:
            begins = (SECOND + rng.randrange(8 * SECOND) for _ in range(rng.randrange(1, 6)))
            self.stalls[name] = [(begin, begin + rng.randrange(50 * MS, 4000 * MS)) for begin in begins]

    def stalled(self, name: str) -> bool:
        return any(begin <= self.now < end for begin, end in self.stalls[name])

    def run(self, duration: int) -> None:
        end = self.now + duration
        self._collect()
        while self.now < end:
            self.now = min([end, *self._next_times()])
            self._hand_over()
            for name, node in self.nodes.items():
                due = node.next_deadline()
                if due is not None and due <= self.now and not self.stalled(name):
                    node.handle_timer(self.now)
            self._collect()

    def _next_times(self) -> list[int]:
        times = [edge for spans in self.stalls.values() for span in spans for edge in span if edge > self.now]
        awake = [node for name, node in self.nodes.items() if not self.stalled(name)]
        times += [max(due, self.now) for node in awake if (due := node.next_deadline()) is not None]
        times += [max(frame[0], self.now) for frame in self._queue if not self.stalled(frame[2])]
        return times

    def _hand_over(self) -> None:
        ready = sorted(frame for frame in self._queue if frame[0] <= self.now and not self.stalled(frame[2]))
        self._queue = [frame for frame in self._queue if frame[0] > self.now or self.stalled(frame[2])]
        heapq.heapify(self._queue)
        for _, _, name, header, body in ready:
            self.nodes[name].receive(header, body, self.now)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [63, 64, 65])
def test_nodes_that_stalled_while_joining_all_see_each_other_afterwards(seed: int) -> None:
    """63: a node whose first id went to another was taken for one whose session is over, for ever."""
    segment = StallingSegment(9, seed)
    segment.run(13 * SECOND)
    segment.stalls = {name: [] for name in segment.nodes}
    segment.run(25 * SECOND)
    sessions = {node.session for node in segment.nodes.values()}
    for node in segment.nodes.values():
        assert {peer.session for peer in node.hub.online()} == sessions - {node.session}
    assert len({node.id for node in segment.nodes.values()}) == 9


def test_a_host_that_answers_late_is_not_taken_for_one_whose_address_does_not_work() -> None:
    """Given one that has the processor now and then, all go on to send it by itself what is meant for it alone.

    It reads several repetitions at once, and its answers come after as many: that alone tells nothing. What one node is
    told would go to all for ten seconds, reports of data among it, and take processor time of all.
    """
    segment = StallingSegment(3, 1)
    segment.stalls = {name: [] for name in segment.nodes}
    segment.run(4 * SECOND)
    first, busy = segment.nodes["web0"], segment.nodes["web1"]
    begin = segment.now
    segment.stalls["web1"] = [(begin + at * MS, begin + at * MS + 380 * MS) for at in range(0, 6000, 400)]
    for number in range(50):
        first.send(Kind.UPDTREE, b"for all %d" % number, segment.now)
        first.send(Kind.UPDTREE, b"for one %d" % number, segment.now, busy.id)
        busy.send(Kind.UPDTREE, b"back %d" % number, segment.now, first.id)
        segment.run(120 * MS)
    assert first.counters["retransmissions"] > 20
    assert not any(node.counters["unicast_doubted"] for node in segment.nodes.values())
    assert len(segment.bodies("web1", "web0")) > 80
