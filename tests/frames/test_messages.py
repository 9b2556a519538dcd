"""Every message survives packing and parsing, and its declaration and its faster twin are one format."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from l2sync import frames
from l2sync.frames import Kind, LocalError, RemoteError
from l2sync.frames.declare import GARBAGE, Message

from . import strategies
from .examples import MESSAGES, PAYLOADS

TWINNED = [*MESSAGES.values(), *PAYLOADS.values(), frames.StreamPrefix(70000, frames.MORE)]


@given(strategies.bodies)
def test_a_body_comes_out_as_it_went_in(message):
    assert frames.parse_message(message.KIND, message.pack()) == message


@given(strategies.bodies | strategies.payloads)
def test_declaration_and_faster_twin_pack_the_same_bytes(message):
    assert message.build_declared() == message.pack()


@given(strategies.bodies | strategies.payloads)
def test_declaration_and_faster_twin_read_the_same_message(message):
    assert type(message).parse_declared(message.pack()) == message == type(message).parse(message.pack())


def outcome(parse, body: bytes) -> object:
    """What comes of parsing: the message, or None for "malformed"."""
    try:
        return parse(body)
    except (RemoteError, *GARBAGE):
        return None


@given(st.sampled_from(TWINNED), st.data())
def test_declaration_and_faster_twin_refuse_the_same_bytes(message, data):
    body = bytearray(message.pack())
    position = data.draw(st.integers(0, len(body)))
    body[position : position + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    cls = type(message)
    assert outcome(cls.parse, bytes(body)) == outcome(cls.parse_declared, bytes(body))


ENDLESS = {frames.Data: 9, frames.Probe: 6, frames.Part: 9}
"""Messages that are read to the end of the body, and how much comes before."""


@pytest.mark.parametrize("message", TWINNED, ids=lambda message: type(message).__name__)
def test_a_message_cut_short_anywhere_is_malformed(message):
    body = message.pack()
    # What is read to the end of the body is not cut short by ending earlier.
    shortest_whole = next((size for kind, size in ENDLESS.items() if isinstance(message, kind)), len(body))
    for size in range(shortest_whole):
        with pytest.raises(RemoteError, match="malformed"):
            type(message).parse(body[:size])


@pytest.mark.parametrize("message", TWINNED, ids=lambda message: type(message).__name__)
def test_bytes_left_over_are_malformed(message):
    if not isinstance(message, tuple(ENDLESS)):
        with pytest.raises(RemoteError, match="malformed"):
            type(message).parse(message.pack() + b"\0")


def test_every_kind_has_a_message_that_knows_its_kind():
    assert {kind: cls.KIND for kind, cls in frames.MESSAGES.items()} == {kind: kind for kind in Kind}


@pytest.mark.parametrize("kind", [0, 200, 255])
def test_an_unknown_kind_is_refused(kind):
    with pytest.raises(RemoteError) as caught:
        frames.parse_message(kind, b"")
    assert caught.value.reason == "unknown_kind"


@pytest.mark.parametrize(
    "message",
    [
        frames.Hello("", bytes(8)),
        frames.Hello("bell\a", bytes(8)),
        frames.Hello("n" * 256, bytes(8)),
        frames.Hello("\udcff", bytes(8)),
        frames.Hello("a", bytes(7)),
        frames.Welcome("a", bytes(8), ((5, 4),), ()),
        frames.Welcome("a", bytes(8), ((1, 2, 3),), ()),
        frames.Register("a", bytes(8), 2**48, ()),
        frames.Register("a", bytes(8), -1, ()),
        frames.Ack(2**64, (), 0, 0),
        frames.Ack(0, ((2, 1),), 0, 0),
        frames.Ack(0, ((-1, 1),), 0, 0),
        frames.Ack(0, ((0, 2**48),), 0, 0),
        frames.Ack(0, (), 0, 2**48),
        frames.Ack(0, (), 0, 0, frames.Registration(0, bytes(9))),
        frames.Ping(0, -1, 0, ()),
        frames.Ping(0, 0, 0, (frames.TreeState(0, bytes(15), 0, 0),)),
        frames.Rej(9, 0, 0, ""),
        frames.Lock(1, 1, 1, 7, ()),
        frames.Lock(1, 1, 1, 1, (bytes(65536),)),
        frames.Lock(1, 1, 1, 1, ("text",)),
        frames.Lock(1, 1, 1, 1, (5,)),
        frames.Lock(1, 1, 1, 1, (b"",) * 65536),
        frames.Unlockall(1, 2),
        frames.Data(1, 2**24, 1, 0, b""),
        frames.Data(1, 0, 0, 0, b""),
        frames.Want(1, ((3, 2),)),
        frames.Want(1, ((0, 2**32),)),
        frames.Repair(1, 2, 3, ((0, 256),)),
        frames.Done(1, 4),
        frames.Updtree(1, 2, 9, 0, b""),
        frames.Piece(b"", b"0F", 0, (), ()),
        frames.Piece(b"", b"0" * 65, 0, (), ()),
        frames.Piece(b"", b"", 0, ((16, bytes(16)),), ()),
        frames.Entries(True, 0, ("text",)),
        frames.StreamPrefix(0, 4),
        frames.Probe(1, 3, 0),
        frames.Probed(((1, 2, 65536),)),
        frames.Chain(65536),
        frames.Part(12, 0, 0, 1, b""),
        frames.Part(12, 0, 0, 65, b""),
    ],
    ids=repr,
)
def test_a_value_that_fits_no_field_is_our_own_error(message):
    with pytest.raises(LocalError):
        message.pack()


@example("\udcff failed")
@example("long " * 100)
@example("ä" * 200)
@given(st.text())
def test_a_text_for_people_always_packs_and_is_cut_where_it_is_too_long(text):
    read = frames.Bye.parse(frames.Bye(text).pack()).text
    assert len(read.encode()) <= 255
    assert text.encode(errors="replace").decode().startswith(read)


def test_a_flag_that_is_neither_yes_nor_no_is_malformed():
    with pytest.raises(RemoteError, match="malformed"):
        frames.Unlockall.parse(bytes.fromhex("0000000102"))


def test_hand_packed_data_is_the_message():
    message = MESSAGES[Kind.DATA]
    fields = (message.batch, message.generation, message.k, message.symbol, message.payload)
    assert frames.pack_data(*fields) == message.build_declared()
    *shared, number, symbol = fields
    assert frames.pack_symbols(*shared, [(number, symbol)] * 2) == [message.build_declared()] * 2
    assert frames.parse_data(message.build_declared()) == fields
    assert len(message.pack()) == frames.DATA_OVERHEAD + len(message.payload)


def test_messages_have_no_dictionary():
    assert not any(hasattr(message, "__dict__") for message in TWINNED)
    assert all(isinstance(message, Message) for message in TWINNED)
