"""The simulated segment: what its rules do, and that a seed fixes everything."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2sync.link import Delivery, FrameTooLong, LinkDown, Rules, SimulatedSegment
from tests.link.harness import payload

MS = 1_000_000
SECOND = 1_000_000_000


def segment(ports: int, seed: int = 1, **rules: object) -> SimulatedSegment:
    made = SimulatedSegment(Random(seed), Rules(**rules))  # type: ignore[arg-type]
    for _ in range(ports):
        made.add_port()
    return made


def drain(on: SimulatedSegment) -> list[Delivery]:
    delivered = []
    while (when := on.next_time()) is not None:
        delivered += on.deliver(when)
    return delivered


def receivers(delivered: list[Delivery]) -> list[int]:
    return sorted(port for _, port, _, _ in delivered)


def numbers(delivered: list[Delivery], port: int) -> list[int]:
    return [int.from_bytes(data[8:12]) for _, at, data, _ in delivered if at == port]


def test_nothing_arrives_before_its_time() -> None:
    on = segment(2, delay=5 * MS)
    on.transmit(0, payload(1), None, now=10 * MS)
    assert on.next_time() == 15 * MS
    assert on.deliver(15 * MS - 1) == []
    [(when, port, data, source)] = on.deliver(15 * MS)
    assert (when, port, data, source) == (15 * MS, 1, payload(1), on.mac(0))
    assert on.next_time() is None


def test_a_frame_to_an_address_reaches_its_port_and_one_to_nobody_reaches_none() -> None:
    on = segment(4)
    on.transmit(0, payload(1), on.mac(2), now=0)
    on.transmit(0, payload(2), b"\x02\x11\x11\x11\x11\x11", now=0)
    on.transmit(0, payload(3), on.mac(0), now=0)
    assert receivers(drain(on)) == [2]


@given(
    seed=st.integers(0, 2**32),
    loss=st.sampled_from([0.0, 0.2, 1.0]),
    duplication=st.sampled_from([0.0, 0.3]),
    jitter=st.sampled_from([0, 3 * MS]),
    rate=st.sampled_from([0, 10_000_000]),
    sends=st.lists(st.tuples(st.integers(0, 3), st.integers(0, MS)), max_size=30),
)
def test_equal_seeds_give_equal_deliveries_and_no_frame_is_unaccounted_for(
    seed: int, loss: float, duplication: float, jitter: int, rate: int, sends: list[tuple[int, int]]
) -> None:
    def play() -> tuple[list[Delivery], SimulatedSegment]:
        on = segment(4, seed, loss=loss, duplication=duplication, jitter=jitter, rate=rate, port_queue=4000)
        now = 0
        for number, (port, pause) in enumerate(sends):
            now += pause
            on.transmit(port, payload(number, 1000), None, now)
        return drain(on), on

    delivered, on = play()
    assert play()[0] == delivered
    assert delivered == sorted(delivered, key=lambda delivery: delivery[0])
    counters = on.counters
    owed = counters["sent"] * 3 + counters["duplicated"]
    assert len(delivered) == counters["delivered"] == owed - counters["lost"] - counters["overflowed"]
    assert all(source != on.mac(port) for _, port, _, source in delivered)


def test_loss_and_duplication_come_as_often_as_the_rules_say() -> None:
    on = segment(2, loss=0.2, duplication=0.1)
    for number in range(2000):
        on.transmit(0, payload(number), None, now=number * MS)
    assert len(drain(on)) == on.counters["delivered"]
    assert 330 < on.counters["lost"] < 470
    assert 100 < on.counters["duplicated"] < 220


def test_jitter_lets_frames_overtake_each_other() -> None:
    on = segment(2, jitter=5 * MS)
    for number in range(50):
        on.transmit(0, payload(number), None, now=number * 1000)
    arrived = numbers(drain(on), 1)
    assert sorted(arrived) == list(range(50))
    assert arrived != list(range(50))


def test_a_partition_holds_until_it_is_healed() -> None:
    on = segment(5)
    on.partition([0, 1], [2])
    on.transmit(0, payload(1), None, now=0)
    on.transmit(2, payload(2), None, now=0)
    on.transmit(3, payload(3), None, now=0)
    delivered = drain(on)
    assert numbers(delivered, 0) == [] and numbers(delivered, 1) == [1]
    assert numbers(delivered, 2) == []
    assert numbers(delivered, 4) == [3]
    assert on.counters["cut"] == 3 + 4 + 3
    on.heal()
    on.transmit(0, payload(4), None, now=SECOND)
    assert receivers(drain(on)) == [1, 2, 3, 4]


def test_a_cut_may_work_one_way() -> None:
    on = segment(2)
    on.cut([0], [1])
    on.transmit(0, payload(1), None, now=0)
    on.transmit(1, payload(2), None, now=0)
    assert receivers(drain(on)) == [0]


def test_a_port_that_goes_down_loses_what_is_on_its_way_and_cannot_send() -> None:
    on = segment(3, delay=10 * MS)
    on.transmit(0, payload(1), None, now=0)
    on.set_down(1)
    with pytest.raises(LinkDown):
        on.transmit(1, payload(2), None, now=0)
    on.set_down(1, False)
    assert receivers(drain(on)) == [2]
    on.transmit(0, payload(3), None, now=SECOND)
    assert receivers(drain(on)) == [1, 2]


def test_a_frame_can_be_singled_out() -> None:
    on = segment(3)
    on.drop_when = lambda source, receiver, data: receiver == 1 and data == payload(2)
    on.transmit(0, payload(1), None, now=0)
    on.transmit(0, payload(2), None, now=0)
    delivered = drain(on)
    assert numbers(delivered, 1) == [1]
    assert numbers(delivered, 2) == [1, 2]


def test_the_rate_spaces_frames_out_headers_and_gaps_included() -> None:
    on = segment(2, rate=100_000_000, delay=0)
    for number in range(3):
        on.transmit(0, payload(number, 1500), None, now=0)
    each = (1500 + 38) * 8 * 10  # ns at 100 Mbit/s
    # once into the switch, once out of it, the two overlapping from frame to frame
    assert [when for when, *_ in drain(on)] == [2 * each, 3 * each, 4 * each]
    assert on.bytes_out(0) == on.bytes_in(1) == 3 * 1538


def test_a_full_send_queue_refuses_until_it_has_emptied() -> None:
    on = segment(2, rate=8_000_000, send_queue=10_000)
    taken = 0
    while on.transmit(0, payload(taken, 1000), None, now=0):
        taken += 1
    assert 10 <= taken <= 12
    assert on.transmit(0, payload(taken, 1000), None, now=5 * MS)
    assert len(drain(on)) == taken + 1


def test_two_senders_overflow_a_receivers_port_and_nobody_elses() -> None:
    on = segment(4, rate=100_000_000, port_queue=20_000)
    on.set_port(3, rate=10_000_000)
    for number in range(50):
        on.transmit(0, payload(number, 1000), None, now=0)
    delivered = drain(on)
    assert len(numbers(delivered, 1)) == len(numbers(delivered, 2)) == 50
    assert 20 <= len(numbers(delivered, 3)) < 40
    assert on.counters["overflowed"] == 50 - len(numbers(delivered, 3))


def test_one_port_may_lose_more_than_the_others() -> None:
    on = segment(3)
    on.set_port(2, loss=1.0)
    on.transmit(0, payload(1), None, now=0)
    assert receivers(drain(on)) == [1]
    on.set_port(2)
    on.transmit(0, payload(1), None, now=0)
    assert receivers(drain(on)) == [1, 2]


def test_rules_change_while_it_runs() -> None:
    on = segment(2)
    with pytest.raises(FrameTooLong):
        on.transmit(0, payload(1, 9000), None, now=0)
    on.set_rules(mtu=9000)
    on.transmit(0, payload(1, 9000), None, now=0)
    assert receivers(drain(on)) == [1]
