"""Acks, replay, round trips and locks, each by itself and against naive twins."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from l2sync.cluster import Claim, ClusterSettings, LockTable
from l2sync.cluster.acks import AckTracker, Parcel, RangeSet, ReplayWindow, RoundTrip
from l2sync.cluster.hub import Hub, Peer, PeerState
from l2sync.cluster.messenger import Messenger
from l2sync.cluster.streams import EpochStream, InStream, epoch_start
from l2sync.frames import NOID, Kind

MS = 1_000_000


@given(st.lists(st.integers(0, 80)))
def test_a_range_set_holds_what_a_set_holds(numbers: list[int]) -> None:
    ranges, twin = RangeSet(), set()
    for number in numbers:
        ranges.add(number)
        twin.add(number)
    assert list(ranges) == sorted(twin)
    assert all(b[0] - a[1] > 1 for a, b in zip(ranges.ranges, ranges.ranges[1:], strict=False))


@given(st.lists(st.integers(0, 3 * ReplayWindow.WIDTH)))
def test_every_serial_is_admitted_once_and_none_that_is_too_old(serials: list[int]) -> None:
    window, seen, highest = ReplayWindow(), set(), -1
    for serial in serials:
        fresh = serial not in seen and serial > highest - ReplayWindow.WIDTH
        assert window.admit(serial) == fresh
        seen.add(serial)
        highest = max(highest, serial)


@given(st.lists(st.tuples(st.integers(0, 3 * ReplayWindow.WIDTH), st.integers(1, 700), st.integers(0, 9)), max_size=8))
def test_a_run_of_serials_is_admitted_as_each_of_them_would_be(runs: list[tuple[int, int, int]]) -> None:
    window, twin = ReplayWindow(5), ReplayWindow(5)
    for first, count, missing in runs:
        serials = [serial for serial in range(first, first + count) if serial != first + missing or count == 1]
        fresh = window.admit_all(serials)
        assert (fresh or [True] * len(serials)) == [twin.admit(serial) for serial in serials]
    assert all(window.fresh(serial) is twin.fresh(serial) for serial in range(0, 4 * ReplayWindow.WIDTH, 61))


def test_the_time_out_follows_the_round_trip_as_rfc_6298_says() -> None:
    trip = RoundTrip(ClusterSettings())
    assert trip.timeout == 200 * MS
    trip.sample(40 * MS)
    assert (trip.smoothed, trip.variation) == (40 * MS, 20 * MS)
    trip.sample(80 * MS)
    assert (trip.smoothed, trip.variation) == (45 * MS, 25 * MS)
    assert trip.timeout == 45 * MS + 4 * 25 * MS + trip.settings.ack_delay


def test_a_parcel_is_settled_when_the_last_debtor_has_answered_any_of_its_transmissions() -> None:
    tracker, parcel = AckTracker(), Parcel(1, 5, 0, b"", None, {7, 8})
    tracker.sent(parcel, 10, 0, 100)
    assert tracker.due(99) == [] and tracker.due(100) == [parcel]
    tracker.sent(parcel, 11, 100, 100)
    assert tracker.next_deadline() == 300
    settled, sent_at = tracker.acked(7, [(11, 11)])
    assert settled == [parcel] and sent_at == 100 and parcel.owing == {8}
    assert tracker.acked(7, [(10, 11)]) == ([], None)
    assert tracker.left(8) == [parcel] and tracker.next_deadline() is None and not tracker.by_serial


@given(st.permutations(range(12)), st.lists(st.integers(0, 11)))
def test_a_stream_delivers_once_and_in_order_whatever_the_order_of_arrival(order: list[int], again: list[int]) -> None:
    stream, got = InStream(0), []
    for seq in [*order[:6], *again, *order[6:]]:
        _, whole = stream.accept(4, seq, 0, b"%d" % seq)
        got += [int(body) for _, body in whole]
    assert got == list(range(12))


def test_a_stream_joins_fragments_and_refuses_what_is_far_ahead() -> None:
    stream = InStream(5)
    assert stream.accept(4, 5, 2, b"one ") == (True, [])
    assert stream.accept(4, 6, 0, b"message") == (True, [(4, b"one message")])
    assert stream.accept(4, 7 + 1024, 0, b"x") == (False, [])
    assert stream.jump(9) and not stream.jump(9) and stream.accept(4, 9, 0, b"y")[1] == [(4, b"y")]


def test_a_stream_to_one_node_begins_anew_in_a_new_epoch() -> None:
    stream = EpochStream()
    assert stream.accept(4, epoch_start(1), 0, b"a")[1] == [(4, b"a")]
    assert stream.accept(4, epoch_start(2), 0, b"b")[1] == [(4, b"b")]
    assert stream.accept(4, epoch_start(1) + 1, 0, b"late") == (True, [])


def claim(node: int, lamport: int, *paths: bytes, number: int = 1) -> Claim:
    return Claim(100 + node, number, node, lamport, 1, 1, paths)


def test_a_directory_covers_what_is_below_it_and_the_earlier_claim_goes_first() -> None:
    table = LockTable()
    first, second, third = claim(2, 5, b"a"), claim(1, 5, b"b", number=2), claim(1, 9, b"a/b/c", b"z")
    assert all(table.add(c) for c in (third, second, first)) and not table.add(first)
    assert table.earlier(third) is first and table.earlier(first) is None and table.earlier(second) is None
    assert table.release(102, 1) == [first] and table.earlier(third) is None


PATHS = st.sampled_from([b"a", b"a/b", b"c", b""])


def covers(above: bytes, path: bytes) -> bool:
    return not above or above == path or path.startswith(above + b"/")


SETS = st.lists(st.sampled_from([b"", b"a", b"ab", b"a/b", b"a/b/c", b"a/bc", b"b", b"c/a"]), max_size=4)


@given(SETS, SETS)
def test_claims_overlap_where_one_covers_a_path_of_the_other(ours: list[bytes], theirs: list[bytes]) -> None:
    one, other = claim(1, 1, *ours), claim(2, 2, *theirs)
    naive = any(covers(a, b) or covers(b, a) for a in ours for b in theirs)
    assert one.overlaps(other) is other.overlaps(one) is naive


class Counted(bytes):
    """A path that counts how often it is compared."""

    compared = 0

    def __eq__(self, other: object) -> bool:
        Counted.compared += 1
        return bytes(self) == other

    __hash__ = bytes.__hash__


def test_large_claims_are_compared_in_a_few_steps_a_path() -> None:
    one = claim(1, 1, *(Counted(b"a/%d" % number) for number in range(200)))
    other = claim(2, 2, *(Counted(b"b/%d" % number) for number in range(200)))
    Counted.compared = 0
    assert not one.overlaps(other) and Counted.compared < 2000


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 4), PATHS), max_size=9))
def test_of_any_claims_some_can_go_on_so_nobody_waits_for_ever(wanted: list[tuple[int, int, bytes]]) -> None:
    table = LockTable()
    for number, (node, lamport, path) in enumerate(wanted, 1):
        table.add(claim(node, lamport, path, number=number))
    while len(table):
        free = [c for c in table if table.earlier(c) is None]
        assert free
        assert not any(a.overlaps(b) for a in free for b in free if a is not b)
        table.release(free[0].session, free[0].number)


def test_an_answer_goes_along_with_the_next_message_and_is_not_lost_where_it_cannot() -> None:
    hub = Hub("web0", 1, b"nonce123", 400, Random(1), ClusterSettings(), {}, id=3)
    peer = Peer(5, "web1", 2, b"nonce456", RoundTrip(hub.settings), state=PeerState.ONLINE)
    hub.peers[5] = hub.sessions[2] = peer
    messenger = Messenger(hub)
    messenger.owe_ack(peer, 7, Kind.UPDTREE, 0)
    hub.id = NOID
    messenger.send(Kind.DONE, b"one", MS, peer)
    hub.id = 3
    messenger.send(Kind.DONE, b"two", MS, peer)
    assert [frame.kind for frame in hub.out] == [Kind.DONE, Kind.ACK, Kind.DONE]
    assert messenger.handle_timer(30 * MS) == [] and [f.kind for f in hub.out].count(Kind.ACK) == 1


@given(st.lists(st.integers(0, 20_000), max_size=60), st.integers(0, 60))
def test_a_window_says_beforehand_what_it_will_let_through(serials: list[int], first: int) -> None:
    window = ReplayWindow(first)
    for serial in serials:
        fresh = window.fresh(serial)
        assert fresh == window.admit(serial)
