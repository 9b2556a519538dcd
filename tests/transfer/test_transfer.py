"""A batch's content, from one broadcaster to many assemblers, over a channel that loses what the test chooses."""

from __future__ import annotations

from random import Random

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from l2sync.frames import DATA_OVERHEAD, OVERHEAD, Repair, parse_data
from l2sync.modtree import Chunk, Entry, Kind, Observation, pack_chunks, to_entry, tree_path
from l2sync.transfer import Assembler, Broadcaster, ChunkTable, Pacer, PacerSettings, chunk_table, ranges_of, single
from l2sync.transfer.coding import cut, pack_records, repair_symbols, restore, unpack_records

MS = 1_000_000
SECOND = 1_000_000_000
ROOM = 1500 - OVERHEAD - DATA_OVERHEAD


def batch(*contents: bytes, chunk: int = 100_000) -> tuple[ChunkTable, dict[int, bytes]]:
    """A table of these files' chunks, and the bytes by index."""
    entries: list[Entry] = []
    data: dict[bytes, bytes] = {}
    for number, content in enumerate(contents):
        parts = [content[at : at + chunk] for at in range(0, len(content), chunk)]
        chunks = [Chunk(blake3(part).digest(), len(part)) for part in parts]
        data.update(zip((c.hash for c in chunks), parts, strict=True))
        seen = Observation(
            path=tree_path(b"f%d" % number), kind=Kind.FILE, size=len(content), chunks=pack_chunks(chunks)
        )
        entries.append(to_entry(seen, None, 1, number + 1, "web1"))
    table = chunk_table(entries)
    return table, {index: data[c.hash] for index, c in enumerate(table.chunks)}


class Channel:
    """One broadcaster and some receivers; ``lost(receiver, serial)`` says what does not arrive."""

    def __init__(self, table: ChunkTable, data: dict[int, bytes], receivers: int, room: int = ROOM) -> None:
        self.data, self.now, self.serial, self.sent = data, SECOND, 0, 0
        self.origin = Broadcaster(1, table, room)
        self.receivers = {n: Assembler(1, table, range(len(table))) for n in range(receivers)}
        self.got: dict[int, dict[int, bytes]] = {n: {} for n in self.receivers}
        self.dead: set[int] = set()

    def run(self, lost, seconds: int = 60) -> bool:  # type: ignore[no-untyped-def]
        for number, receiver in self.receivers.items():
            if not receiver.complete:
                self.origin.want(number, receiver.missing_ranges(), self.now)
        end = self.now + seconds * SECOND
        while self.now < end and not all(r.complete for n, r in self.receivers.items() if n not in self.dead):
            for index in self.origin.needed(4 << 20):
                self.origin.supply(index, self.data[index])
            for body in self.origin.next_frames(self.now, 60_000, self.serial):
                self._deliver(body, lost)
            self.now += 5 * MS
            for number, receiver in self.receivers.items():
                report = None if number in self.dead else receiver.report(self.now)
                if report is not None:
                    self.origin.repair(number, Repair.parse(report.pack()), self.now)
        return all(self.got[n] == self.data for n in self.receivers if n not in self.dead)

    def _deliver(self, body: bytes, lost) -> None:  # type: ignore[no-untyped-def]
        _, generation, k, symbol, payload = parse_data(body)
        for number, receiver in self.receivers.items():
            if number not in self.dead and not lost(number, self.serial):
                for index, chunk in receiver.feed([single(self.serial, generation, k, symbol, payload)], self.now):
                    assert index not in self.got[number]
                    self.got[number][index] = chunk
                if receiver.complete:
                    self.origin.forget(number)
        self.serial += 1
        self.sent += len(body)


def test_chunks_are_numbered_by_first_appearance_and_once() -> None:
    table, _ = batch(b"a" * 150_000, b"b", b"a" * 100_000)
    assert [c.length for c in table.chunks] == [100_000, 50_000, 1]
    assert [table.where(i) for i in range(3)] == [(0, 0), (0, 100_000), (1, 0)]


@given(st.lists(st.integers(0, 60), unique=True))
def test_ranges_say_exactly_the_numbers(numbers: list[int]) -> None:
    said = [n for low, high in ranges_of(sorted(numbers)) for n in range(low, high + 1)]
    assert said == sorted(numbers)


@given(st.binary(min_size=1, max_size=3000), st.integers(20, 400), st.randoms(), st.booleans())
def test_any_k_symbols_restore_a_generation(data: bytes, room: int, rng: Random, compress: bool) -> None:
    records = [(7, 0, data[:100]), (9, 100, data[100:])]
    source = cut(pack_records(records, compress), room)
    k = len(source)
    numbers = rng.sample(range(256), k)
    symbols = dict(zip(numbers, repair_symbols(source, numbers), strict=True))
    assert list(unpack_records(restore(k, symbols))) == records


@given(st.integers(0, 10**6), st.integers(0, 60), st.integers(1, 4))
def test_any_loss_ends_with_the_right_bytes_at_everybody(seed: int, percent: int, receivers: int) -> None:
    rng = Random(seed)
    table, data = batch(rng.randbytes(30_000), rng.randbytes(700), b"z" * 5000, chunk=8000)
    channel = Channel(table, data, receivers, room=500)
    assert channel.run(lambda number, serial: rng.random() * 100 < percent)


def test_the_tail_may_be_lost() -> None:
    table, data = batch(Random(1).randbytes(50_000))
    channel = Channel(table, data, 2)
    assert channel.run(lambda number, serial: serial >= 20 and channel.now < SECOND + 300 * MS)


def test_what_goes_over_the_wire_does_not_depend_on_the_number_of_receivers() -> None:
    table, data = batch(Random(1).randbytes(600_000))
    sent = []
    for receivers in (1, 8):
        channel = Channel(table, data, receivers)
        assert channel.run(lambda number, serial: False)
        sent.append(channel.sent + channel.serial * (14 + OVERHEAD))
    assert sent[0] == sent[1] <= 600_000 * 1.055


def test_five_percent_of_independent_loss_at_eight_receivers_costs_no_more_than_twelve() -> None:
    table, data = batch(Random(1).randbytes(2_000_000))
    clean, lossy = Channel(table, data, 8), Channel(table, data, 8)
    rng = Random(5)
    assert clean.run(lambda number, serial: False) and lossy.run(lambda number, serial: rng.random() < 0.05)
    assert lossy.sent <= 1.12 * clean.sent


def test_a_receiver_that_says_nothing_does_not_stop_the_others() -> None:
    table, data = batch(Random(1).randbytes(300_000))
    channel = Channel(table, data, 3)
    channel.dead = {2}
    rng = Random(2)
    assert channel.run(lambda number, serial: rng.random() < 0.1)


def test_a_chunk_that_is_not_what_its_hash_says_is_refused() -> None:
    table, _ = batch(b"right" * 100)
    wrong = Channel(table, {0: b"wrong" * 100}, 1)
    assert not wrong.run(lambda number, serial: False, seconds=1)
    assert wrong.got[0] == {} and wrong.receivers[0].refused > 0


def test_a_chunk_that_cannot_be_read_is_told() -> None:
    table, _ = batch(b"x" * 1000)
    origin = Broadcaster(1, table, ROOM)
    origin.want(5, [(0, 0)], 0)
    assert origin.needed(1 << 20) == [0]
    origin.supply(0, None)
    assert origin.gone() == [0] and origin.next_frames(0, 10_000, 0) == []


def test_a_chunk_is_read_once_for_each_time_that_it_goes_out() -> None:
    table, data = batch(*(bytes([number]) * 1000 for number in range(40)))
    origin = Broadcaster(1, table, ROOM)
    origin.want(5, [(0, 39)], 0)
    origin.want(6, [(0, 39)], 0)
    first = [origin.needed(8000) for _ in range(5)]
    assert first == [[0, 1], [2, 3], [4, 5], [6, 7], []], "what comes first need not wait for all that may be at hand"
    for index in range(8):
        origin.supply(index, data[index])
    while origin.sendable():
        origin.next_frames(0, 10_000, 0)
    assert origin.needed(1 << 20) == list(range(8, 40)) and origin.needed(1 << 20) == []
    for peer in (5, 6):
        origin.repair(peer, Repair(1, 1 << 30, 8, ()), 1)
    origin.want(7, [(0, 3)], 2)
    assert origin.needed(1 << 20) == [0, 1, 2, 3], "what all had is read anew for who comes later"


class Bottleneck:
    """Receivers behind a queue of so many bytes that drains at a rate; reports each 25 ms."""

    def __init__(self, rate: float, queue: int, loss: float = 0.0, receivers: int = 2, most: int = 1 << 40) -> None:
        self.rate, self.queue, self.loss, self.rng = rate, queue, loss, Random(3)
        self.pacer = Pacer(PacerSettings(most_rate=most))
        self.receivers = range(receivers)
        self.frozen: set[int] = set()
        self.now, self.serial, self.symbols = SECOND, 0, 0

    def run(self, seconds: float) -> tuple[float, float]:
        """Bytes per second that went through in the second half, and the share that the queue dropped."""
        now, serial, held, symbols, last = self.now, self.serial, 0.0, self.symbols, self.serial
        start, passed, half, offered, dropped, told = now, 0, 0, 0, 0, now
        while now < start + seconds * SECOND:
            now += MS
            held = max(0.0, held - self.rate / 1000)
            budget = min(self.pacer.budget(now), 64_000)
            frames = budget // 1500
            for _ in range(frames):
                serial += 1
                offered += 1
                if held + 1500 > self.queue:
                    dropped += 1
                    continue
                held += 1500
                if self.rng.random() >= self.loss:
                    symbols, last = symbols + 1, serial
                    passed += 1500
            if frames:
                self.pacer.on_sent(1, serial, frames, frames * 1500)
            if now - told >= 25 * MS:
                told = now
                for number in self.receivers:
                    if number not in self.frozen:
                        self.pacer.on_report(number, Repair(1, last, symbols, ()), now)
            if now == start + int(seconds * SECOND) // 2:
                half = passed
        self.now, self.serial, self.symbols = now, serial, symbols
        return (passed - half) / (seconds / 2), dropped / max(offered, 1)


def test_the_pacer_fills_a_slow_bottleneck_and_does_not_flood_it() -> None:
    through, dropped = Bottleneck(12_500_000, 256_000).run(4)
    assert through > 0.9 * 12_500_000 and dropped < 0.12


@pytest.mark.parametrize("loss", [0.0, 0.1])
def test_no_more_goes_out_than_a_limit_allows(loss: float) -> None:
    through, dropped = Bottleneck(12_500_000, 256_000, loss, most=2_000_000).run(4)
    assert 1_800_000 * (1 - loss) < through < 2_010_000 and not dropped


def test_random_loss_does_not_make_the_rate_collapse() -> None:
    through, _ = Bottleneck(12_500_000, 256_000, loss=0.1).run(4)
    assert through > 0.7 * 12_500_000


def test_a_receiver_that_stands_still_is_found_and_no_longer_counts() -> None:
    segment = Bottleneck(12_500_000, 256_000, receivers=3)
    segment.run(0.5)
    segment.frozen = {2}
    through, _ = segment.run(4)
    assert segment.pacer.laggards() == {2} and through > 0.7 * 12_500_000


def test_batches_that_follow_each_other_without_loss_cut_no_rate() -> None:
    # Given a receiver that gets all, but of each batch's end tells only that it has it
    pacer, now, serial = Pacer(), SECOND, 0
    for batch in range(1, 6):
        symbols = 0
        for turn in range(40):
            now += 5 * MS
            frames = min(pacer.budget(now), 64_000) // 1500
            serial, symbols = serial + frames, symbols + frames
            if frames:
                pacer.on_sent(batch, serial, frames, frames * 1500)
            if turn % 5 == 2:
                pacer.on_report(0, Repair(batch, serial, symbols, ()), now)
    # Then nothing passes for lost
    assert pacer.cuts == 0 and pacer.rate > 8_000_000


def test_a_report_from_amid_a_run_of_frames_tells_of_no_loss() -> None:
    # Given runs of 64 frames each 50 ms, which arrive one after the other until the next goes out
    pacer, serial = Pacer(), 0
    for now in range(SECOND, 4 * SECOND, 5 * MS):
        at = (now - SECOND) // (5 * MS)
        if at % 10 == 0:
            serial += 64
            pacer.on_sent(1, serial, 64, 96_000)
        if at % 6 == 0:
            came = serial - 64 + 64 * (at % 10) // 10
            pacer.on_report(0, Repair(1, came, came, ()), now)
    assert pacer.cuts == 0


class Uneven:
    """Three receivers, each behind a port of its own rate, whose queue drops what is too much; reports each 25 ms."""

    def __init__(self, rates: list[float]) -> None:
        self.rates, self.pacer, self.now, self.serial = rates, Pacer(), SECOND, 0
        self.held, self.came, self.last = [0.0] * len(rates), [0] * len(rates), [0] * len(rates)

    def run(self, seconds: float) -> list[float]:
        """Bytes per second that came to each."""
        before, begin, told = list(self.came), self.now, self.now
        while self.now < begin + seconds * SECOND:
            self.now += MS
            self.held = [max(0.0, held - rate / 1000) for held, rate in zip(self.held, self.rates, strict=True)]
            frames = min(self.pacer.budget(self.now), 64_000) // 1500
            for _ in range(frames):
                self.serial += 1
                for number, held in enumerate(self.held):
                    if held + 1500 <= 256_000:
                        self.held[number] += 1500
                        self.came[number], self.last[number] = self.came[number] + 1, self.serial
            if frames:
                self.pacer.on_sent(1, self.serial, frames, frames * 1500)
            if self.now - told >= 25 * MS:
                told = self.now
                for number, came in enumerate(self.came):
                    self.pacer.on_report(number, Repair(1, self.last[number], came, ()), self.now)
        return [1500 * (came - old) / seconds for came, old in zip(self.came, before, strict=True)]


def test_a_receiver_whose_port_takes_a_tenth_holds_up_the_others_for_two_seconds_at_most() -> None:
    segment = Uneven([12_500_000, 12_500_000, 1_250_000])
    segment.run(2)
    came = segment.run(4)
    assert segment.pacer.laggards() == {2}
    assert min(came[:2]) > 0.9 * 12_500_000


def test_one_that_lost_most_counts_again_when_it_takes_what_the_others_take() -> None:
    segment = Uneven([12_500_000, 12_500_000, 1_250_000])
    segment.run(3)
    assert segment.pacer.laggards() == {2}
    segment.rates[2] = 12_500_000
    segment.run(4)
    assert segment.pacer.laggards() == frozenset()


def test_when_only_the_slow_are_left_the_rate_is_theirs() -> None:
    segment = Uneven([12_500_000, 12_500_000, 1_250_000])
    segment.run(3)
    for number in (0, 1):
        segment.pacer.forget(number)
    assert segment.pacer.laggards() == frozenset()
    segment.rates = [1_250_000]
    segment.held, segment.came, segment.last = segment.held[2:], segment.came[2:], segment.last[2:]
    segment.pacer.forget(2)
    segment.pacer.begin(0, segment.now)
    segment.run(2)
    assert segment.pacer.rate < 3 * 1_250_000


def test_who_is_set_aside_holds_up_no_generation_and_is_served_when_the_others_have_all() -> None:
    table, data = batch(Random(1).randbytes(600_000))
    channel, rng = Channel(table, data, receivers=3, room=24), Random(2)
    for number in range(3):
        channel.origin.want(number, [], SECOND)
    channel.origin.set_aside(2)
    channel.dead = {2}
    assert channel.run(lambda number, _: number == 2 or rng.random() < 0.05, seconds=5)
    assert 2 in channel.origin.peers and not channel.got[2]
    channel.dead = set()
    # What went out while it was deaf it asks for once more, by chunk.
    assert any(channel.run(lambda number, _: rng.random() < 0.3, seconds=2) for _ in range(4))


def test_a_chunk_is_made_of_parts_that_were_cut_differently_each_time_it_was_sent() -> None:
    content = Random(1).randbytes(1000)
    table, _ = batch(content)
    receiver = Assembler(1, table, [0])
    cuts = [(0, 400), (700, 1000), (300, 600), (500, 800)]
    got = []
    for generation, (begin, end) in enumerate(cuts):
        (symbol,) = cut(pack_records([(0, begin, content[begin:end])], False), 2000)
        got += receiver.feed([single(generation, generation, 1, 0, symbol)], SECOND)
    assert got == [(0, content)] and receiver.complete and receiver.held == 0


def test_a_receiver_keeps_no_more_generations_than_their_origin_has() -> None:
    table, _ = batch(bytes(1_000_000))
    receiver = Assembler(1, table, range(len(table)))
    for generation in range(1000):
        receiver.feed([single(generation, generation, 192, 0, bytes(50))], SECOND)
    assert receiver.held == 128 * 50
    report = receiver.report(2 * SECOND)
    assert report is not None and [number for number, _ in report.lacks] == list(range(1000 - 128, 1000))


def test_who_asks_late_gets_a_chunk_of_which_a_part_is_not_kept_any_more() -> None:
    content = Random(1).randbytes(6000)
    table, data = batch(content, chunk=6000)
    origin = Broadcaster(1, table, 20)
    early, late = (Assembler(1, table, [0]) for _ in range(2))
    origin.want(0, [(0, 0)], SECOND)
    origin.supply(origin.needed(1 << 20)[0], data[0])
    first = [parse_data(body) for body in origin.next_frames(SECOND, 4000, 0)]
    early.feed([single(serial, *fields[1:]) for serial, fields in enumerate(first)], SECOND)
    report = early.report(2 * SECOND)
    assert report is not None
    origin.repair(0, report, 2 * SECOND)  # the first generation is closed, the second is on its way
    origin.want(1, late.missing_ranges(), 2 * SECOND)
    now, serial = 2 * SECOND, len(first)
    for _ in range(20):
        for index in origin.needed(1 << 20):
            origin.supply(index, data[index])
        for body in origin.next_frames(now, 100_000, serial):
            late.feed([single(serial, *parse_data(body)[1:])], now)
            serial += 1
        now += 50 * MS
    assert late.complete


def test_a_receiver_knows_how_much_is_still_to_come() -> None:
    content = [Random(number).randbytes(1000) for number in range(3)]
    table, data = batch(*content)
    receiver = Assembler(1, table, range(3))
    assert receiver.to_come == 3000
    receiver.narrow([0, 1])
    assert receiver.to_come == 2000
    halves = cut(pack_records([(0, 0, data[0])], False), 600)
    receiver.feed([single(0, 0, 2, 0, halves[0])], SECOND)
    assert 2000 - 600 <= receiver.to_come < 2000
    receiver.feed([single(1, 0, 2, 1, halves[1])], SECOND)
    assert receiver.to_come == 1000
    (whole,) = cut(pack_records([(1, 0, data[1])], False), 2000)
    receiver.feed([single(2, 1, 1, 0, whole)], SECOND)
    assert receiver.complete and receiver.to_come == 0


def test_a_receiver_reports_sooner_when_much_comes() -> None:
    table, _ = batch(bytes(1_000_000))
    receiver = Assembler(1, table, range(len(table)))
    run = [single(serial, 0, 192, serial, bytes(8000)) for serial in range(90)]
    receiver.feed(run, SECOND)
    assert receiver.report(SECOND) is None
    receiver.feed([single(serial, 0, 192, serial, bytes(8000)) for serial in range(90, 100)], SECOND + MS)
    report = receiver.report(SECOND + MS)
    assert report is not None and report.symbols == 100
