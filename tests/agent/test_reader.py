"""How long frames may gather before they are read."""

from __future__ import annotations

import pytest

from l2sync.agent.reader import _GATHER_END, _GATHER_MOST, _Flow
from l2sync.frames import Kind

MS = 1_000_000
FRAME = b"\0\0\0" + bytes([Kind.DATA]) + bytes(1496)


def stream(flow: _Flow, to_come: int | None) -> int | None:
    """Eight frames a millisecond, for 50 ms."""
    return flow.pause([(FRAME, bytes(6))] * 400, 50 * MS, to_come)


@pytest.mark.parametrize("to_come", [None, 10 << 20])
def test_while_data_streams_much_of_it_gathers(to_come: int | None) -> None:
    pause = stream(_Flow(), to_come)
    assert pause is not None and 40 * MS < pause <= _GATHER_MOST


def test_the_end_of_what_is_waited_for_is_read_when_it_is_here() -> None:
    pause = stream(_Flow(), 200 * 1500)
    assert pause is not None and 20 * MS <= pause <= 30 * MS


@pytest.mark.parametrize("to_come", [0, 1500])
def test_who_has_all_waits_for_little_as_what_follows_is_to_be_put_in_place(to_come: int) -> None:
    assert stream(_Flow(), to_come) == _GATHER_END


def test_a_few_frames_are_a_small_change_and_do_not_wait() -> None:
    assert _Flow().pause([(FRAME, bytes(6))], 50 * MS, 1 << 20) is None
