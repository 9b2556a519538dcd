"""What trials say of the ways, as a pure judgement."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2sync.cluster.ways import Trial, Verdict, Way, choose, judge, suspect
from l2sync.frames import Tally

COUNT = 24


def verdict(*arrived: tuple[int, int, int], sampled: int = 4) -> Verdict:
    """Of peers that got so many by unicast, broadcast and multicast; only the first few were sent unicast."""
    sessions = frozenset(range(len(arrived)))
    trial = Trial(1, COUNT, frozenset(range(min(sampled, len(arrived)))), sessions, [], 0)
    for session, (unicast, broadcast, multicast) in enumerate(arrived):
        trial.answers[session] = Tally(1, 0, 1400, unicast if session < sampled else 0, broadcast, multicast)
    return judge(trial)


@pytest.mark.parametrize(
    ("arrived", "taken"),
    [
        ([(24, 24, 24)] * 3, Way.BROADCAST),
        ([(24, 2, 24)] * 3, Way.MULTICAST),
        ([(24, 2, 0)] * 3, Way.CHAIN),
        ([(24, 24, 0), (24, 24, 24)], Way.BROADCAST),
        ([(24, 2, 24), (24, 24, 2)], Way.CHAIN),
        ([(14, 15, 13)] * 5, Way.BROADCAST),
        ([(3, 2, 3)] * 5, Way.BROADCAST),
        ([], Way.BROADCAST),
    ],
    ids=str,
)
def test_the_first_way_that_works_for_all_is_taken(arrived: list[tuple[int, int, int]], taken: Way) -> None:
    assert choose(verdict(*arrived), Way.BROADCAST, Way.BROADCAST) is taken


def test_the_way_configured_comes_first() -> None:
    assert choose(verdict((24, 24, 24)), Way.MULTICAST, Way.CHAIN) is Way.MULTICAST
    assert choose(verdict((24, 24, 1)), Way.MULTICAST, Way.MULTICAST) is Way.BROADCAST


def test_one_of_many_that_hears_nothing_does_not_decide_for_all() -> None:
    found = verdict(*[(24, 24, 24)] * 30, (0, 2, 24))
    assert Way.BROADCAST in found.works and found.deaf[Way.BROADCAST] == (30,)


@given(st.lists(st.tuples(*[st.integers(0, COUNT)] * 3), max_size=12))
def test_a_way_is_left_only_for_one_that_brought_more_to_somebody(arrived: list[tuple[int, int, int]]) -> None:
    found = verdict(*arrived, sampled=12)
    taken = choose(found, Way.BROADCAST, Way.BROADCAST)
    if taken is Way.MULTICAST:
        assert any(multicast > broadcast for _, broadcast, multicast in arrived)
    elif taken is Way.CHAIN:
        assert any(unicast > 0 for unicast, _, _ in arrived)
        assert not {Way.BROADCAST, Way.MULTICAST} & found.works


def test_suspicions_say_what_an_administrator_can_look_for() -> None:
    stormy = verdict(*[(24, 2, 24)] * 3)
    names = ["web1", "web2", "web3"]
    told = suspect(Way.BROADCAST, stormy, names, 64_000)
    assert told == "broadcast is throttled on this segment to about 64 kbit/s: storm control?"
    silent = verdict(*[(24, 24, 0)] * 3)
    told = suspect(Way.MULTICAST, silent, names, None)
    assert told == "no multicast gets through on this segment: does a switch filter it?"
    one = verdict((24, 24, 0), (24, 24, 24), (24, 24, 24))
    told = suspect(Way.MULTICAST, one, ["web1"], None)
    assert told == "little multicast reaches web1: does a card or a switch's port filter it?"
    assert suspect(Way.BROADCAST, one, [], None) is None
