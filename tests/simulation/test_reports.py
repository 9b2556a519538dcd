"""What many receivers say after a loss that all of them have: little (RFC 5401), and at once where they are few."""

from __future__ import annotations

from random import Random

import pytest

from l2sync.frames import Keyring, Kind, Repair, parse_header

from .test_world import contents, settled
from .world import KEY, MS, SECOND, World


class Segment:
    """A world in which some data frames are lost for everybody, and reports are counted by who sent them."""

    def __init__(self, hosts: int, lost: int) -> None:
        self.world = World(hosts, seed=6)
        self.world.start()
        settled(self.world)
        self.reports: list[tuple[int, int]] = []
        self.wants: list[int] = []
        self._lost, self._seen = lost, dict[tuple[int, int], bool]()
        self._reader = Keyring("sim", {1: KEY}, 1)
        self._ports = {host.port: host for host in self.world.hosts}
        self.world.segment.drop_when = self._drop

    def lose(self, count: int) -> None:
        """Lose so many of the data frames that follow."""
        self._lost = count

    def _drop(self, source: int, receiver: int, payload: bytes) -> bool:
        header = parse_header(payload)
        key = (header.session, header.serial)
        if key not in self._seen:
            self._seen[key] = header.kind == Kind.DATA and self._lost > 0
            self._lost -= self._seen[key]
            if header.kind == Kind.REPAIR and Repair.parse(self._reader.open(header, payload)).lacks:
                self.reports.append((source, self.world.now))
            elif header.kind == Kind.WANT:
                self.wants.append(source)
        return self._seen[key]

    def copy(self, size: int) -> float:
        """Milliseconds until all have a file of this size."""
        data = Random(size).randbytes(size)
        self.world.write(self.world.hosts[0], b"file", data)
        begin = self.world.now
        assert self.world.run(
            60 * SECOND, lambda: all(contents(host).get(b"file") == data for host in self.world.hosts)
        )
        return (self.world.now - begin) / MS

    @property
    def said(self) -> int:
        """How often somebody said that it lacks something."""
        return len(self.reports) + len(self.wants)


@pytest.mark.slow
def test_what_all_have_lost_is_asked_for_by_few() -> None:
    segment = Segment(50, lost=2)
    took = segment.copy(60_000)
    assert 1 <= segment.said <= 15
    assert took < 400
    segment.reports.clear(), segment.wants.clear()
    segment.lose(1000)
    segment.world._at(segment.world.now + 8 * MS, lambda: segment.lose(0))
    segment.copy(20_000)
    assert 1 <= segment.said <= 15


def test_a_few_receivers_report_as_soon_as_ever() -> None:
    segment = Segment(4, lost=2)
    assert segment.copy(60_000) < 40
    assert segment.said >= 3
