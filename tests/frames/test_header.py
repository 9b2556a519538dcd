"""The header: one declaration, one faster twin, and every way in which a frame can be no frame."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2sync import frames
from l2sync.frames import LocalError, RemoteError

from .strategies import exactly, unsigned

FIELDS = {
    "kind": st.sampled_from(frames.Kind).map(int),
    "cluster": exactly(4),
    "key_id": unsigned(8),
    "src": unsigned(16),
    "dst": unsigned(16),
    "session": unsigned(64),
    "serial": unsigned(48),
}


@given(st.fixed_dictionaries(FIELDS), st.integers(0, 50), st.binary(max_size=20))
def test_a_header_comes_out_as_it_went_in_whatever_padding_follows(fields, length, padding):
    packed = frames.pack_header(**fields, length=length)
    frame = packed + bytes(length + frames.TAG_SIZE) + padding
    expected = frames.Header(**fields, length=length)
    assert frames.parse_header(frame) == expected
    assert frames.parse_header(memoryview(frame)) == expected


@given(st.fixed_dictionaries(FIELDS), unsigned(16))
def test_declaration_and_faster_twin_agree(fields, length):
    packed = frames.pack_header(**fields, length=length)
    assert packed == frames.HEADER.build({**fields, "length": length})
    read = frames.HEADER.parse(packed)
    assert {name: read[name] for name in fields} == fields
    assert read.length == length


def test_the_sizes_are_those_of_the_declaration():
    assert frames.HEADER_SIZE == 29 == frames.HEADER.sizeof()
    assert frames.OVERHEAD == 45


def a_frame(**changed: int) -> bytearray:
    values = {"kind": 7, "cluster": b"abcd", "key_id": 1, "src": 2, "dst": 3, "session": 4, "serial": 5, "length": 6}
    return bytearray(frames.pack_header(**{**values, **changed}) + bytes(6 + frames.TAG_SIZE))


def reason(frame: bytes) -> str:
    with pytest.raises(RemoteError) as caught:
        frames.parse_header(bytes(frame))
    return caught.value.reason


def test_a_frame_that_is_cut_off_anywhere_is_short():
    frame = a_frame()
    assert {reason(frame[:size]) for size in range(len(frame))} == {"short"}


def test_a_body_that_ends_beyond_the_frame_is_short():
    assert reason(a_frame(length=7)) == "short"


def test_other_magic_version_and_kind_are_told_apart():
    frame = a_frame()
    assert reason(b"XX" + frame[2:]) == "magic"
    assert reason(frame[:2] + b"\x02" + frame[3:]) == "version"
    assert {reason(a_frame(kind=kind)) for kind in (0, 200, 255)} == {"unknown_kind"}


@pytest.mark.parametrize(
    "changed",
    [{"kind": 256}, {"key_id": -1}, {"src": 65536}, {"session": 2**64}, {"serial": 2**48}, {"serial": -1}],
    ids=str,
)
def test_a_value_that_fits_no_field_is_our_own_error(changed):
    with pytest.raises(LocalError):
        a_frame(**changed)
