"""By which way frames for all reach all, and what trials say of each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from statistics import median

from l2sync.frames import Kind, Tally

JOINING = frozenset((Kind.HELLO, Kind.WELCOME, Kind.REGISTER, Kind.REJ, Kind.DIE, Kind.BYE))
"""Few, and meant for nodes of which nobody knows yet which way reaches them."""
MEASURING = frozenset((Kind.PROBE, Kind.TALLY))
"""What goes to one address to see whether that works, and so never another way."""
UNCOUNTED = JOINING | {Kind.PROBE}
"""What goes to all and is neither counted as sent to all nor handed on."""


class Way(Enum):
    """How one transmission reaches everybody."""

    BROADCAST = "broadcast"
    MULTICAST = "multicast"
    CHAIN = "from node to node"


@dataclass(slots=True)
class Trial:
    """Equal bursts sent by each way at once, interleaved: congestion hits all of them alike, a filter does not.

    ``sampled``: sessions that were sent a burst of their own.
    """

    number: int
    count: int
    sampled: frozenset[int]
    asked: frozenset[int]
    ask_at: list[int]
    ends_at: int
    answers: dict[int, Tally] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a trial showed: who does not hear which way (sessions), and whether anything could be told at all."""

    judged: int
    deaf: Mapping[Way, tuple[int, ...]]
    nothing: frozenset[Way]
    """Ways by which nothing arrived anywhere."""
    works: frozenset[Way]


def judge(trial: Trial) -> Verdict:
    """Compare the ways at each receiver with the best of them there."""
    alone = [tally.unicast for session, tally in trial.answers.items() if session in trial.sampled]
    usual = median(alone) if alone else 0
    deaf: dict[Way, list[int]] = {Way.BROADCAST: [], Way.MULTICAST: []}
    judged = 0
    for session, tally in trial.answers.items():
        unicast = tally.unicast if session in trial.sampled else usual
        best = max(tally.broadcast, tally.multicast, unicast)
        if best < trial.count / 2:
            continue
        judged += 1
        for way, got in ((Way.BROADCAST, tally.broadcast), (Way.MULTICAST, tally.multicast)):
            if got < best / 2:
                deaf[way].append(session)
    works = {way for way, sessions in deaf.items() if judged and len(sessions) <= judged // 20}
    if judged and usual >= trial.count / 2:
        works.add(Way.CHAIN)
    heard = {
        Way.BROADCAST: any(tally.broadcast for tally in trial.answers.values()),
        Way.MULTICAST: any(tally.multicast for tally in trial.answers.values()),
    }
    nothing = frozenset(way for way, any_heard in heard.items() if not any_heard)
    return Verdict(judged, {way: tuple(found) for way, found in deaf.items()}, nothing, frozenset(works))


def choose(verdict: Verdict, first: Way, now: Way) -> Way:
    """The way to go on by: the one configured, else the other, else from node to node; if none works, as now."""
    other = Way.MULTICAST if first is Way.BROADCAST else Way.BROADCAST
    return next((way for way in (first, other, Way.CHAIN) if way in verdict.works), now)


def suspect(way: Way, verdict: Verdict, names: Iterable[str], rate: float | None) -> str | None:
    """In words, what seems to be wrong with a way; ``names``: who does not hear it; ``rate``: bits per second."""
    deaf = list(names)
    if not deaf:
        return None
    if len(deaf) < verdict.judged:
        told = ", ".join(sorted(deaf)[:5]) + (f" and {len(deaf) - 5} more" if len(deaf) > 5 else "")
        return f"little {way.value} reaches {told}: does a card or a switch's port filter it?"
    if way in verdict.nothing and not rate:
        return f"no {way.value} gets through on this segment: does a switch filter it?"
    limit = f" to about {max(1, round(rate / 1000)):,} kbit/s" if rate is not None else ""
    return f"{way.value} is throttled on this segment{limit}: storm control?"
