"""The payloads of updtree: written small, and never unpacked beyond bounds."""

import pytest
import zstandard
from hypothesis import given

from l2sync import frames
from l2sync.frames import Codec, LocalError, RemoteError

from . import strategies


@given(strategies.payloads, strategies.unsigned(64), strategies.unsigned(32))
def test_a_payload_comes_out_as_it_went_in(payload, tree, batch):
    message = frames.Updtree.parse(frames.pack_updtree(tree, batch, payload))
    assert (message.tree, message.batch, message.form) == (tree, batch, payload.FORM)
    assert frames.unpack_updtree(message) == payload
    assert len(message.payload) <= len(payload.pack())


def test_what_repeats_itself_is_sent_compressed():
    message = frames.Updtree.parse(frames.pack_updtree(1, 2, frames.Entries(True, 0, (b"entry" * 100,) * 20)))
    assert message.codec is Codec.ZSTD
    assert len(message.payload) < 1000


def test_what_does_not_get_smaller_is_sent_as_it_is():
    message = frames.Updtree.parse(frames.pack_updtree(1, 2, frames.Entries(True, 0, (bytes(range(200)),))))
    assert message.codec is Codec.RAW


def reason(payload: bytes, codec: Codec = Codec.ZSTD) -> str:
    with pytest.raises(RemoteError) as caught:
        frames.unpack_updtree(frames.Updtree(1, 2, frames.Form.ENTRIES, codec, payload))
    return caught.value.reason


def test_a_small_payload_that_would_unpack_to_a_huge_one_is_a_bomb():
    assert reason(zstandard.compress(bytes(frames.MAX_PAYLOAD + 1))) == "bomb"


def test_a_claim_of_a_huge_size_allocates_nothing():
    # Magic, a descriptor with 8 bytes of content size and a single segment, and the claim of 2^62 bytes.
    assert reason(bytes.fromhex("28b52ffd e0") + (2**62).to_bytes(8, "little") + bytes(20)) == "bomb"


def test_compressed_data_that_hides_its_size_is_malformed():
    stream = zstandard.ZstdCompressor(write_content_size=False).compress(bytes(1000))
    assert reason(stream) == "malformed"


def test_compressed_data_that_lies_about_its_size_is_malformed():
    honest = zstandard.compress(bytes(200))
    assert reason(honest.replace(bytes([200]), bytes([100]), 1)) == "malformed"


@pytest.mark.parametrize("payload", [b"", b"no zstd at all", zstandard.compress(b"x" * 100)[:-3]])
def test_garbage_instead_of_compressed_data_is_malformed(payload):
    assert reason(payload) == "malformed"


def test_bytes_behind_the_compressed_data_are_malformed():
    packed = zstandard.compress(frames.Entries(True, 0, (b"entry",)).pack())
    assert reason(packed + b"x") == "malformed"


def test_a_skippable_frame_is_malformed():
    assert reason(bytes.fromhex("502a4d18 04000000") + b"skip") == "malformed"


def test_raw_payloads_are_bounded_too():
    assert reason(bytes(frames.MAX_PAYLOAD + 1), Codec.RAW) == "bomb"


def test_a_payload_that_no_reader_would_unpack_is_our_own_error():
    with pytest.raises(LocalError):
        frames.pack_updtree(1, 2, frames.Entries(True, 0, (bytes(frames.MAX_PAYLOAD),)))


def test_a_payload_of_another_form_is_malformed():
    packed = frames.Ask(((b"path", True),)).pack()
    assert reason(packed, Codec.RAW) == "malformed"
