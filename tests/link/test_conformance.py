"""What every link must do, asked of the simulated segment and of AF_PACKET over veth alike."""

from __future__ import annotations

import pytest

from l2sync.link import FrameTooLong, LinkDown
from tests.link.harness import GROUP, Bench, is_down, payload, reopen


def test_a_broadcast_reaches_everybody_but_its_sender(bench: Bench) -> None:
    assert bench.links[0].send(payload(7))
    for index in (1, 2):
        assert bench.collect(index, 1) == [(payload(7), bench.links[0].mac)]
    assert bench.collect(0, 0) == []


def test_a_frame_to_the_group_reaches_everybody_but_its_sender(bench: Bench) -> None:
    assert bench.links[0].send(payload(7), GROUP)
    for index in (1, 2):
        assert bench.collect(index, 1) == [(payload(7), bench.links[0].mac)]
    assert bench.collect(0, 0) == []


def test_a_frame_to_one_address_reaches_that_host_only(bench: Bench) -> None:
    # The first frame tells a learning switch where that host is.
    bench.links[2].send(payload(0))
    bench.collect(0, 1), bench.collect(1, 1)
    assert bench.links[0].send(payload(7), bench.links[2].mac)
    assert bench.collect(2, 1) == [(payload(7), bench.links[0].mac)]
    assert bench.collect(1, 0) == []


def test_a_frame_flooded_to_an_unknown_address_is_nobodys(bench: Bench) -> None:
    assert bench.links[0].send(payload(7), b"\x02\x99\x99\x99\x99\x99")
    assert bench.collect(1, 0) == bench.collect(2, 0) == []


def test_order_is_kept_on_a_quiet_segment(bench: Bench) -> None:
    for number in range(100):
        assert bench.links[0].send(payload(number))
    assert [data for data, _ in bench.collect(1, 100)] == [payload(number) for number in range(100)]


def test_a_frame_of_the_mtu_passes_and_a_longer_one_is_refused(bench: Bench) -> None:
    link = bench.links[0]
    assert link.mtu == 1500
    assert link.send(payload(1, link.mtu))
    with pytest.raises(FrameTooLong):
        link.send(payload(1, link.mtu + 1))
    assert bench.collect(1, 1) == [(payload(1, 1500), link.mac)]


def test_a_short_payload_arrives_with_nothing_but_zeros_added(bench: Bench) -> None:
    short = payload(3, 12)
    bench.links[0].send(short)
    [(arrived, _)] = bench.collect(1, 1)
    assert arrived[:12] == short
    assert not any(arrived[12:])


def test_a_new_mtu_is_noticed_and_used(bench: Bench) -> None:
    assert not bench.links[0].refresh()
    bench.set_mtu(9000)
    assert [link.refresh() for link in bench.links] == [True] * 3
    assert bench.links[0].send(payload(1, 9000))
    assert bench.collect(1, 1) == [(payload(1, 9000), bench.links[0].mac)]


def test_other_clusters_and_other_formats_are_not_heard(bench: Bench) -> None:
    other = bench.stranger(b"\x09\x09\x09\x09")
    other.send(payload(1, tag=b"\x09\x09\x09\x09"))
    other.send(b"XX" + payload(2)[2:])
    other.send(b"L2")
    other.send(payload(3))  # the sender's own cluster does not matter: the frame's does
    assert [data for data, _ in bench.collect(1, 1)] == [payload(3)]


def test_frames_that_nobody_waits_for_are_kept_apart(bench: Bench) -> None:
    for number, kind in enumerate((0x08, 0x0C, 0x17, 0x18)):
        bench.links[0].send(payload(number, kind=kind))
    assert [data for data, _ in bench.collect(1, 2)] == [payload(1), payload(3, kind=0x18)]
    assert bench.links[1].receive_unhurried(1) == [(payload(0, kind=0x08), bench.links[0].mac)]
    assert bench.links[1].receive_unhurried() == [(payload(2, kind=0x17), bench.links[0].mac)]
    assert bench.links[1].receive_unhurried() == []
    assert bench.links[1].statistics().frames_in == 4


def test_frames_that_nobody_waits_for_reach_a_link_that_was_opened_anew(bench: Bench) -> None:
    reopen(bench, 1)
    bench.links[0].send(payload(1, kind=0x08))
    bench.links[0].send(payload(2))
    assert bench.collect(1, 1) == [(payload(2), bench.links[0].mac)]
    assert [data for data, _ in bench.links[1].receive_unhurried()] == [payload(1, kind=0x08)]


def test_no_more_than_the_limit_is_taken_at_once(bench: Bench) -> None:
    for number in range(10):
        bench.links[0].send(payload(number))
    bench.links[1].send(payload(99))
    bench.collect(0, 1)
    first = bench.links[1].receive(4)
    assert len(first) == 4 or bench.collect(1, 10 - len(first))
    assert len(bench.links[1].receive(0)) == 0


def test_nothing_waiting_is_an_empty_list(bench: Bench) -> None:
    assert bench.links[0].receive() == []


def test_a_run_goes_out_in_order_and_what_a_full_queue_left_of_it_can_follow(bench: Bench) -> None:
    bench.shape(10)
    run = [payload(number, 1500) for number in range(5000)]
    taken = bench.links[0].send_run(run)
    assert 0 < taken < len(run)
    assert bench.links[0].statistics().frames_out == taken and bench.links[0].statistics().refused == 1
    assert [data for data, _ in bench.collect(1, taken)] == run[:taken]
    assert bench.links[0].send_run(run[taken : taken + 3]) == 3
    assert [data for data, _ in bench.collect(1, 3)] == run[taken : taken + 3]


def test_a_run_ends_at_a_frame_that_is_too_long(bench: Bench) -> None:
    with pytest.raises(FrameTooLong):
        bench.links[0].send_run([payload(1), payload(1, 1501), payload(2)])
    assert [data for data, _ in bench.collect(1, 1)] == [payload(1)]
    assert bench.links[0].statistics().frames_out == 1


def test_a_full_queue_refuses_and_takes_again_later(bench: Bench) -> None:
    bench.shape(10)
    taken = 0
    while bench.links[0].send(payload(taken, 1500)):
        taken += 1
        assert taken < 5000, "the link never refused"
    assert bench.links[0].statistics().refused == 1
    assert [data for data, _ in bench.collect(1, taken)] == [payload(number, 1500) for number in range(taken)]
    assert bench.links[0].send(payload(0, 1500))


def test_an_interface_down_is_reported_and_survived(bench: Bench) -> None:
    bench.interface_down(1)
    assert is_down(bench.links[1])
    with pytest.raises(LinkDown):
        bench.links[1].send(payload(1))
    with pytest.raises(LinkDown):
        reopen(bench, 1)
    bench.links[0].send(payload(2))
    bench.interface_up(1)
    reopen(bench, 1)
    bench.links[0].send(payload(3))
    assert [data for data, _ in bench.collect(1, 1)] == [payload(3)]
    assert bench.links[1].send(payload(4))
    assert bench.links[1].statistics().reopened == 1


def test_the_counters_count_payloads_and_survive_reopening(bench: Bench) -> None:
    for number in range(3):
        bench.links[0].send(payload(number, 200))
    bench.collect(1, 3)
    reopen(bench, 1)
    sender, receiver = bench.links[0].statistics(), bench.links[1].statistics()
    assert (sender.frames_out, sender.bytes_out, sender.frames_in) == (3, 600, 0)
    assert (receiver.frames_in, receiver.bytes_in, receiver.kernel_drops) == (3, 600, 0)


def test_a_closed_link_says_so(bench: Bench) -> None:
    link = bench.links[0]
    link.close()
    link.close()
    with pytest.raises(LinkDown):
        link.send(payload(1))
    with pytest.raises(LinkDown):
        link.receive()
    assert link.receive_unhurried() == []
    link.statistics()
