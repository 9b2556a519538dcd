"""What of our frames for all reaches the others: measured, and where a way fails, left for one that works.

After each few dozen frames to all, some peers are asked by unicast how many have arrived (tally). Where it is far
fewer than were sent, or where a peer says that nothing came for long, a trial is made (`ways`).
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median

from l2sync.frames import NOID, Asking, Header, Kind, Lane, Probe, Tally

from .hub import Hub, OutFrame, Peer, WayChanged
from .settings import MS, SECOND
from .ways import UNCOUNTED, Trial, Verdict, Way, choose, judge, suspect

_ASK_AFTER = 32
_ASK_EVERY, _ASK_SELDOM = 100 * MS, 400 * MS
"""Seldom while all hear nearly everything: each asking wakes both ends."""
_FINE = 0.9
_ASKED = 8
_JUDGED_FROM = 48
_LOW = 0.75
_FRESH = 300 * MS
_QUESTIONS_KEPT = 256
_TRIALS_KEPT = 4
_ASKS = (80 * MS, 250 * MS)
_TRIAL_LASTS = 600 * MS
_BURST, _LONG_BURST, _SHORT_BURST = 24, 64, 8
_LARGEST_TRIED = 1400
_SAMPLED = 4
_MOST_ASKED = 32
_PAUSE_FIRST, _PAUSE_MOST = SECOND, 64 * SECOND
_RETURN_FIRST, _RETURN_MOST = 60 * SECOND, 3600 * SECOND
_ALARMS = 3
_LONGEST_GAP = 1200 * MS


@dataclass(frozen=True, slots=True)
class _Question:
    """What was sent to all when a peer was asked how much it heard."""

    session: int
    frames: int
    bytes: int
    at: int


@dataclass(slots=True)
class _Ear:
    """How well one peer hears us: the last count, and the share that arrived since the one before."""

    frames: int
    bytes: int
    heard: int
    at: int
    share: float = 1.0
    sent: int = 0
    rate: float = 0.0
    """Bits per second that arrived."""
    judged_at: int = -(1 << 60)
    alarms: int = 0
    alarm_at: int = -(1 << 60)


class Reach:
    """Measures the ways, and chooses one. ``hub.way`` is the one in use."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self.first = hub.way
        self.suspicions: dict[Way, str] = {}
        self._ears: dict[int, _Ear] = {}
        self._questions: dict[int, _Question] = {}
        self._number = 0
        self._asked_frames = 0
        self._ask_at = 0
        self._turn = 0
        self._trial: Trial | None = None
        self._trial_after = 0
        self._pause = _PAUSE_FIRST
        self._return_at: int | None = None
        self._return_pause = _RETURN_FIRST
        self._low_rate: float | None = None

    # --- as the one who hears ---------------------------------------------------------------------

    def count(self, peer: Peer, header: Header, now: int) -> None:
        """A frame of this peer was admitted."""
        if header.dst == NOID and header.kind not in UNCOUNTED:
            peer.heard += 1
            peer.heard_at = now

    def probed(self, peer: Peer, probe: Probe, size: int, now: int) -> None:
        """A probe has arrived, ``size`` bytes with header and tag."""
        seen = peer.trials.get(probe.number)
        if seen is None:
            while len(peer.trials) >= _TRIALS_KEPT:
                del peer.trials[next(iter(peer.trials))]
            seen = peer.trials[probe.number] = [0, 0, 0, 0]
        seen[3] = max(seen[3], size)
        if probe.asking is Asking.NOTHING:
            seen[probe.lane] = min(seen[probe.lane] + 1, 0xFFFF)
        elif probe.asking in (Asking.TALLY, Asking.ALIVE):
            tally = Tally(probe.number, peer.heard, min(seen[3], 0xFFFF), seen[0], seen[1], seen[2])
            self.hub.emit(Kind.TALLY, tally.pack(), peer)
            if probe.asking is Asking.ALIVE:
                self._alarm(peer, now)

    def listen(self, now: int) -> None:
        """Ask those by unicast of whom nothing that went to all was heard for long; called each half ping interval."""
        for peer in self.hub.online():
            if now - peer.heard_at > self.hub.settings.ping_interval * 3 // 2:
                self.hub.emit(Kind.PROBE, Probe(self.hub.next_trial(), Lane.UNICAST, Asking.ALIVE).pack(), peer)

    # --- as the one who sends ---------------------------------------------------------------------

    def met(self, peer: Peer, now: int) -> None:
        """A peer is new: it counts from now on."""
        peer.heard, peer.heard_at = 0, now
        peer.trials.clear()
        self._ears[peer.session] = _Ear(self.hub.sent_frames, self.hub.sent_bytes, 0, now)

    def left(self, peer: Peer) -> None:
        """A peer is gone."""
        self._ears.pop(peer.session, None)

    def tally(self, peer: Peer, tally: Tally, now: int) -> None:
        """A peer has counted."""
        if self._trial is not None and tally.number == self._trial.number:
            self._trial.answers[peer.session] = tally
            if self._trial.answers.keys() >= self._trial.asked:
                self._end_trial(now)
            return
        question = self._questions.pop(tally.number, None)
        ear = self._ears.get(peer.session)
        if question is None or ear is None or question.session != peer.session:
            return
        sent = question.frames - ear.frames
        heard = tally.heard - ear.heard
        if sent >= _JUDGED_FROM:
            ear.share, ear.sent, ear.judged_at = heard / sent, sent, now
            size = (question.bytes - ear.bytes) / sent
            ear.rate = max(heard, 0) * size * 8 * SECOND / max(question.at - ear.at, 1)
            ear.frames, ear.bytes, ear.heard, ear.at = question.frames, question.bytes, tally.heard, question.at
            if ear.share < _LOW:
                self.hub.doubtful.add(peer.session)
            self._look(now)

    def _look(self, now: int) -> None:
        """Try the ways where much less has arrived of late than was sent."""
        low = [ear for ear in self._ears.values() if now - ear.judged_at <= _FRESH and ear.share < _LOW]
        if low and self._trial is None and now >= self._trial_after:
            self._low_rate = median(ear.rate for ear in low)
            self._begin_trial(_BURST, _LARGEST_TRIED, now)

    def _alarm(self, peer: Peer, now: int) -> None:
        """A peer hears nothing of what we send to all, though unicast goes both ways."""
        ear = self._ears.get(peer.session)
        if ear is None:
            return
        ear.alarms = ear.alarms + 1 if now - ear.alarm_at < _LONGEST_GAP else 1
        ear.alarm_at = now
        if ear.alarms >= _ALARMS and self._trial is None and now >= self._trial_after:
            self._low_rate = None
            self._begin_trial(_SHORT_BURST, 64, now)

    def _fine(self, now: int) -> bool:
        """Whether everybody has lately heard nearly all that went to all."""
        return all(ear.share >= _FINE and now - ear.judged_at <= 2 * _ASK_SELDOM for ear in self._ears.values())

    def _ask(self, now: int) -> None:
        online = sorted(self.hub.online(), key=lambda peer: peer.id)
        self._asked_frames, self._ask_at = self._told(), now + (_ASK_SELDOM if self._fine(now) else _ASK_EVERY)
        for place in range(min(_ASKED, len(online))):
            peer = online[(self._turn + place) % len(online)]
            number = self.hub.next_trial()
            while len(self._questions) >= _QUESTIONS_KEPT:
                del self._questions[next(iter(self._questions))]
            question = _Question(peer.session, self.hub.sent_frames, self.hub.sent_bytes, now)
            self._questions[number] = question
            self.hub.emit(Kind.PROBE, Probe(number, Lane.UNICAST, Asking.TALLY).pack(), peer)
        self._turn += _ASKED

    # --- trials -----------------------------------------------------------------------------------

    def _begin_trial(self, count: int, size: int, now: int) -> None:
        online = self.hub.online()
        if not online:
            return
        asked = self.hub.rng.sample(online, min(_MOST_ASKED, len(online)))
        sampled = asked[:_SAMPLED]
        self._number = self.hub.next_trial()
        padding = bytes(max(0, min(size, self.hub.room) - 6))
        lanes: list[tuple[Lane, Peer | None]] = [(Lane.UNICAST, peer) for peer in sampled]
        lanes += [(Lane.BROADCAST, None)] + [(Lane.MULTICAST, None)] * (self.hub.group is not None)
        for _ in range(count):
            # A full queue drops each third or fourth frame, say: always the same way's, were they always in one order.
            self.hub.rng.shuffle(lanes)
            for lane, peer in lanes:
                self._send(lane, peer, padding)
        self._trial = Trial(
            self._number,
            count,
            frozenset(peer.session for peer in sampled),
            frozenset(peer.session for peer in asked),
            [now + after for after in _ASKS],
            now + _TRIAL_LASTS,
        )
        self.hub.counters["trials"] += 1

    def _send(self, lane: Lane, peer: Peer | None, padding: bytes) -> None:
        body = Probe(self._number, lane, Asking.NOTHING, padding).pack()
        if peer is not None:
            self.hub.emit(Kind.PROBE, body, peer)
        else:
            address = self.hub.group if lane is Lane.MULTICAST else None
            self.hub.out.append(OutFrame(Kind.PROBE, NOID, self.hub.next_serial(), body, address))

    def _ask_again(self, trial: Trial, now: int) -> None:
        trial.ask_at.pop(0)
        for session in trial.asked - trial.answers.keys():
            peer = self.hub.sessions.get(session)
            if peer is not None:
                self.hub.emit(Kind.PROBE, Probe(trial.number, Lane.UNICAST, Asking.TALLY).pack(), peer)

    def _end_trial(self, now: int) -> None:
        assert self._trial is not None
        trial, self._trial = self._trial, None
        verdict = judge(trial)
        if verdict.judged:
            self._note(verdict)
        chosen = choose(verdict, self.first, self.hub.way)
        if chosen is self.hub.way:
            self._pause = min(2 * self._pause, _PAUSE_MOST)
        else:
            self._change(chosen, now)
        self._trial_after = now + self._pause
        self._return_at = now + self._return_pause if self.hub.way is not self.first else None

    def _note(self, found: Verdict) -> None:
        for way, deaf in found.deaf.items():
            names = [self.hub.sessions[session].name for session in deaf if session in self.hub.sessions]
            rate = self._low_rate if way is self.hub.way else None
            if way in found.works or not names:
                self.suspicions.pop(way, None)
            elif way is self.hub.way or way not in self.suspicions:
                self.suspicions[way] = suspect(way, found, names, rate) or ""

    def _change(self, way: Way, now: int) -> None:
        before, self.hub.way = self.hub.way, way
        self._pause = _PAUSE_FIRST
        self._return_pause = min(2 * self._return_pause, _RETURN_MOST) if way is not self.first else self._return_pause
        for ear in self._ears.values():
            ear.judged_at = -(1 << 60)
        self.hub.events.append(WayChanged(before, way, self.suspicions.get(before, "")))

    # --- time -------------------------------------------------------------------------------------

    def handle_timer(self, now: int) -> None:
        """Ask, try, and see whether the first way works again."""
        trial = self._trial
        if trial is not None and now >= trial.ends_at:
            self._end_trial(now)
        elif trial is not None and trial.ask_at and now >= trial.ask_at[0]:
            self._ask_again(trial, now)
        if self._trial is None and self._return_at is not None and now >= self._return_at:
            self._return_at = now + self._return_pause
            self._low_rate = None
            self._begin_trial(_LONG_BURST, _LARGEST_TRIED, now)
        if self._asks() and now >= self._ask_at:
            self._ask(now)

    def _asks(self) -> bool:
        return self._told() - self._asked_frames >= _ASK_AFTER and self.hub.id != NOID

    def _told(self) -> int:
        """Frames that went to all, pings apart: whether these arrive, those who miss them say by themselves."""
        return self.hub.sent_frames - self.hub.sent_pings

    def next_deadline(self) -> int | None:
        """When something is due."""
        times = [self._return_at] if self._trial is None else [*self._trial.ask_at[:1], self._trial.ends_at]
        if self._asks():
            times.append(self._ask_at)
        return min((time for time in times if time is not None), default=None)
