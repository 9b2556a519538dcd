"""Messages cut into fragments are the same when put together, and nobody can make a receiver hoard bytes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2sync import frames
from l2sync.frames import LocalError, Reassembler, RemoteError, StreamPrefix

from .strategies import unsigned


@given(st.lists(st.binary(max_size=50), max_size=5), st.integers(1, 20))
def test_messages_are_put_together_as_they_were(messages, room):
    reassembler = Reassembler()
    received = []
    for message in messages:
        fragments = frames.fragment(message, room)
        assert all(len(piece) <= room for piece in fragments)
        for index, piece in enumerate(fragments):
            whole = reassembler.feed(piece, more=index < len(fragments) - 1)
            if whole is not None:
                received.append(whole)
    assert received == messages


def test_an_empty_message_is_one_empty_fragment():
    assert frames.fragment(b"", 10) == [b""]


@given(unsigned(48), st.integers(0, 3), st.binary(max_size=10))
def test_a_prefix_comes_out_as_it_went_in_and_is_as_declared(seq, flags, rest):
    packed = frames.pack_prefix(seq, flags)
    assert packed == StreamPrefix(seq, flags).build_declared()
    assert len(packed) == frames.PREFIX_SIZE == 7
    prefix, fragment = frames.parse_prefix(packed + rest)
    assert (prefix, fragment) == (StreamPrefix(seq, flags), rest)
    assert (prefix.unicast, prefix.more) == (bool(flags & 1), bool(flags & 2))


@pytest.mark.parametrize("body", [b"", bytes(6), bytes(6) + b"\4", bytes(6) + b"\xff"])
def test_a_prefix_that_is_none_is_malformed(body):
    with pytest.raises(RemoteError, match="malformed"):
        frames.parse_prefix(body)


@pytest.mark.parametrize(("seq", "flags"), [(2**48, 0), (-1, 0), (0, 4), (0, 256), (0, -1)])
def test_a_prefix_that_cannot_be_is_our_own_error(seq, flags):
    with pytest.raises(LocalError):
        frames.pack_prefix(seq, flags)


def test_no_room_is_our_own_error():
    with pytest.raises(LocalError):
        frames.fragment(b"message", 0)


def test_a_message_without_end_is_dropped_once_and_the_next_one_is_read():
    reassembler = Reassembler()
    piece = bytes(frames.MAX_MESSAGE // 4)
    for _ in range(4):
        assert reassembler.feed(piece, more=True) is None
    with pytest.raises(RemoteError, match="oversized"):
        reassembler.feed(b"one too many", more=True)
    assert reassembler.feed(b"rest of it", more=True) is None
    assert reassembler.feed(b"end of it", more=False) is None
    assert reassembler.feed(b"the next", more=False) == b"the next"


def test_a_message_that_exceeds_the_bound_with_its_last_fragment_does_not_swallow_the_next():
    reassembler = Reassembler()
    reassembler.feed(bytes(frames.MAX_MESSAGE), more=True)
    with pytest.raises(RemoteError, match="oversized"):
        reassembler.feed(b"x", more=False)
    assert reassembler.feed(b"the next", more=False) == b"the next"


def test_a_message_of_the_largest_size_passes():
    reassembler = Reassembler()
    reassembler.feed(bytes(frames.MAX_MESSAGE - 1), more=True)
    assert len(reassembler.feed(b"x", more=False) or b"") == frames.MAX_MESSAGE
    with pytest.raises(LocalError):
        frames.fragment(bytes(frames.MAX_MESSAGE + 1), 1000)


def test_empty_fragments_without_end_are_malformed():
    with pytest.raises(RemoteError, match="malformed"):
        Reassembler().feed(b"", more=True)


def test_kinds_that_are_waited_for_in_order_are_streamed():
    streamed = {"UPDTREE", "LOCK", "UNLOCKALL", "WANT", "DONE", "QUERY", "REPORT", "DECISION", "BAN", "BASE", "CHAIN"}
    assert {kind.name for kind in frames.STREAMED} == streamed
