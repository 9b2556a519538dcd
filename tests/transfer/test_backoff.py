"""Reports of many receivers: spaced at random, late for most, and needless where another's says as much (RFC 5401)."""

from __future__ import annotations

from random import Random
from statistics import mean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2sync.frames import Repair, parse_data
from l2sync.transfer import Assembler, Broadcaster, Cadence, single
from l2sync.transfer.backoff import SMALL, random_backoff

from .test_transfer import MS, ROOM, batch


@given(st.integers(0, 10**9), st.integers(0, 1000), st.randoms(use_true_random=False))
def test_a_back_off_is_within_its_bounds(longest: int, group: int, rng: Random) -> None:
    assert 0 <= random_backoff(longest, group, rng) <= longest


@pytest.mark.parametrize("group", [10, 50, 200, 1000])
def test_of_any_group_only_a_few_come_early(group: int) -> None:
    rng = Random(group)
    firsts = []
    for _ in range(200):
        times = sorted(random_backoff(1000 * MS, group, rng) for _ in range(group))
        # Those who speak before they could hear the first: within one round trip, of four.
        firsts.append(sum(time <= times[0] + 250 * MS for time in times))
    assert mean(firsts) < 12


@pytest.mark.parametrize("group", [1, 2, SMALL])
def test_a_small_group_reports_as_soon_as_ever_and_to_the_sender_alone(group: int) -> None:
    cadence = Cadence(group, 20 * MS, Random(1))
    assert not cadence.shared
    assert {cadence.report_wait() for _ in range(50)} == {25 * MS}
    assert {cadence.want_wait() for _ in range(50)} == {0}


def lacking_one(cadence: Cadence) -> Assembler:
    """A receiver that has got all but one symbol of one generation."""
    table, data = batch(Random(1).randbytes(60_000))
    origin = Broadcaster(1, table, ROOM)
    origin.push(range(len(table)))
    for index in origin.needed(1 << 20):
        origin.supply(index, data[index])
    receiver = Assembler(1, table, range(len(table)), cadence)
    bodies = origin.next_frames(0, 1 << 20, 0)
    receiver.feed([single(serial, *parse_data(body)[1:]) for serial, body in enumerate(bodies[:-1])], 0)
    return receiver


def test_a_receiver_keeps_silent_when_anothers_report_covers_its_own() -> None:
    receiver = lacking_one(Cadence(100, 5 * MS, Random(1)))
    due = receiver.next_deadline()
    assert due is not None
    receiver.overhear(Repair(1, 40, 40, ((0, 1),)), due - 1)
    assert receiver.report(due) is None and receiver.suppressed == 1
    later = receiver.next_deadline()
    assert later is not None and later >= due - 1 + receiver.cadence.holdoff
    report = receiver.report(later)
    assert report is not None and report.lacks == ((0, 1),)


def test_a_report_of_less_covers_nothing() -> None:
    receiver = lacking_one(Cadence(100, 5 * MS, Random(1)))
    due = receiver.next_deadline()
    assert due is not None
    receiver.overhear(Repair(1, 40, 40, ((1, 9),)), due - 1)
    receiver.overhear(Repair(1, 40, 40, ()), due - 1)
    assert receiver.report(due) is not None


def test_who_has_not_told_for_long_where_it_is_does_so_in_spite_of_others() -> None:
    receiver = lacking_one(Cadence(100, 5 * MS, Random(1)))
    now = 0
    while (due := receiver.next_deadline()) is not None:
        receiver.overhear(Repair(1, 40, 40, ((0, 1),)), due)
        now = due
        if receiver.report(due) is not None:
            break
    assert now <= 1000 * MS


def streaming(group: int, lost: set[int], every: int = 60 * MS) -> tuple[Assembler, list[int], list[bool]]:
    """A receiver that reads its socket now and then while data comes: when it reports, and whether for all to hear."""
    table, data = batch(Random(1).randbytes(6_000_000))
    origin = Broadcaster(1, table, ROOM)
    origin.push(range(len(table)))
    for index in origin.needed(1 << 30):
        origin.supply(index, data[index])
    receiver = Assembler(1, table, range(len(table)), Cadence(group, 5 * MS, Random(1)))
    now, serial, times, to_all = 0, 0, list[int](), list[bool]()
    while bodies := origin.next_frames(now, 700_000, serial):
        run = [single(serial + place, *parse_data(body)[1:]) for place, body in enumerate(bodies)]
        receiver.feed([one for one in run if one.last_serial not in lost], now)
        serial += len(bodies)
        if receiver.report(now) is not None:
            times.append(now)
            to_all.append(receiver.for_all(now))
        now += every
    assert now > 8 * every
    return receiver, times, to_all


@pytest.mark.parametrize("group", [1, SMALL, SMALL + 1, 16])
def test_progress_is_told_when_data_is_read_and_wakes_nobody_for_it(group: int) -> None:
    _, times, to_all = streaming(group, lost=set())
    assert times[:5] and all(time % (60 * MS) == 0 for time in times)
    assert len(times) >= 6
    assert not any(to_all)


def test_progress_of_many_is_told_ever_more_seldom() -> None:
    assert len(streaming(200, lost=set())[1]) < len(streaming(16, lost=set())[1])


def test_a_loss_amid_a_stream_is_told_for_many_to_hear_and_not_at_once() -> None:
    without, with_loss = streaming(16, lost=set())[1], streaming(16, lost={300})
    receiver, times, to_all = with_loss
    assert all(to_all) and len(to_all) >= 2
    # Each waits whether another tells of it first.
    assert len(times) < len(without)
    due = receiver.next_deadline()
    assert due is not None and receiver.report(due) is not None and receiver.for_all(due)


class Crowd:
    """One origin and many receivers who hear each other, each frame a millisecond on its way."""

    DELAY = MS

    def __init__(self, receivers: int, size: int) -> None:
        table, self.data = batch(Random(2).randbytes(size))
        self.origin, self.now, self.serial = Broadcaster(1, table, ROOM), 0, 0
        self.assemblers = [
            Assembler(1, table, range(len(table)), Cadence(receivers, 2 * self.DELAY, Random(number)))
            for number in range(receivers)
        ]
        self.reports: list[tuple[int, int]] = []
        self._way: list[tuple[int, int, object]] = []
        self.origin.push(range(len(table)))
        for index in self.origin.needed(1 << 20):
            self.origin.supply(index, self.data[index])

    def run(self, lost: set[int]) -> None:
        """Until all have everything; data frames of these serials reach nobody."""
        while not all(one.complete for one in self.assemblers):
            assert self.now < 5_000 * MS
            for body in self.origin.next_frames(self.now, 1 << 20, self.serial):
                if self.serial not in lost:
                    self._way.append((self.now + self.DELAY, -1, (self.serial, *parse_data(body)[1:])))
                self.serial += 1
            for number, one in enumerate(self.assemblers):
                if not one.complete and (report := one.report(self.now)) is not None:
                    if report.lacks:
                        self.reports.append((number, self.now))
                    self._way.append((self.now + self.DELAY, number, report))
            self.now += MS // 4
            arrived = [each for each in self._way if each[0] <= self.now]
            self._way = [each for each in self._way if each[0] > self.now]
            for _, sender, what in arrived:
                self._arrive(sender, what)

    def _arrive(self, sender: int, what: object) -> None:
        if isinstance(what, Repair):
            self.origin.repair(sender, what, self.now)
        for number, one in enumerate(self.assemblers):
            if one.complete or number == sender:
                continue
            if not isinstance(what, Repair):
                one.feed([single(*what)], self.now)  # type: ignore[list-item]
            elif what.lacks and one.cadence.shared:
                one.overhear(what, self.now)


@pytest.mark.slow
@pytest.mark.parametrize("receivers", [50, 200])
def test_a_loss_that_a_crowd_has_in_common_is_reported_by_few(receivers: int) -> None:
    crowd = Crowd(receivers, 60_000)
    crowd.run(lost={7, 8, 20})
    assert 1 <= len(crowd.reports) <= 12
    assert sum(one.suppressed for one in crowd.assemblers) >= receivers // 2


def test_a_few_report_each_for_itself_and_lose_no_time() -> None:
    crowd = Crowd(5, 60_000)
    crowd.run(lost={7, 8, 20})
    assert len(crowd.reports) == 5
    assert crowd.now <= 40 * MS
