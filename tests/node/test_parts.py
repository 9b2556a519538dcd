"""Frames cut into parts and put together again, whatever comes between."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2sync.frames import Header, Kind, LocalError, Part, RemoteError
from l2sync.node.parts import Parts, cut

SESSION = 7


def header(serial: int) -> Header:
    return Header(Kind.PART, b"tag!", 1, 2, 0xFFFF, SESSION, serial, 0)


@given(st.binary(min_size=101, max_size=3000), st.integers(60, 400), st.randoms(use_true_random=False))
def test_parts_in_any_order_and_doubled_are_the_frame_they_were_cut_from(body: bytes, room: int, rng: Random) -> None:
    cuts = [Part.parse(each) for each in cut(Kind.UPDTREE, 50, body, room)] if len(body) > room else []
    assert all(len(part.pack()) <= room for part in cuts)
    rng.shuffle(cuts)
    parts, whole = Parts(), None
    for number, part in enumerate(cuts):
        assert whole is None
        whole = parts.take(header(51 + 2 * number), part)
        if whole is None:
            assert parts.take(header(52 + 2 * number), part) is None
    if cuts:
        assert whole is not None and whole[1] == body
        assert (whole[0].kind, whole[0].serial, whole[0].length) == (Kind.UPDTREE, 50, len(body))
    assert parts.held == 0


@pytest.mark.parametrize(
    "part",
    [
        Part(Kind.PART, 50, 0, 2, b""),
        Part(Kind.HELLO, 50, 0, 2, b""),
        Part(200, 50, 0, 2, b""),
        Part(Kind.DATA, 50, 2, 2, b""),
        Part(Kind.DATA, 60, 0, 2, b""),
        Part(Kind.DATA, 61, 0, 2, b""),
    ],
    ids=repr,
)
def test_a_part_of_what_comes_in_no_parts_is_malformed(part: Part) -> None:
    with pytest.raises(RemoteError, match="malformed"):
        Parts().take(header(60), part)


def test_who_leaves_everything_incomplete_is_given_no_more_than_a_little_memory() -> None:
    parts = Parts()
    for serial in range(0, 4000, 2):
        parts.take(header(serial + 1), Part(Kind.DATA, serial, 0, 64, bytes(60_000)))
    assert parts.held <= 1 << 19
    parts.forget(SESSION)
    assert parts.held == 0


def test_a_body_that_no_number_of_parts_can_carry_is_our_own_error() -> None:
    with pytest.raises(LocalError):
        list(cut(Kind.DATA, 1, bytes(60_000), 100))
