"""The bytes of every kind of frame, fixed: a change here is a change of the protocol."""

import pytest

from l2sync import frames

from . import golden
from .examples import CLUSTER, KEY, KEY_ID, PAYLOADS, SESSION, examples

VECTORS = golden.load()
ring = frames.Keyring(CLUSTER, {KEY_ID: KEY}, KEY_ID)


def test_every_example_has_its_vector_and_every_kind_its_example():
    assert list(VECTORS) == [example.title for example in examples()]
    assert {example.kind for example in examples()} == set(frames.Kind)


@pytest.mark.parametrize("example", examples(), ids=lambda example: example.title)
def test_a_frame_is_made_as_ever(example):
    assert example.sealed_body.hex() == VECTORS[example.title]["plaintext"]
    assert example.frame.hex() == VECTORS[example.title]["frame"]


@pytest.mark.parametrize("example", examples(), ids=lambda example: example.title)
def test_a_frame_is_read_as_ever(example):
    frame = bytes.fromhex(VECTORS[example.title]["frame"])
    header = frames.parse_header(frame)
    assert (header.kind, header.src, header.dst) == (example.kind, example.src, example.dst)
    assert (header.session, header.serial, header.cluster) == (SESSION, example.serial, ring.tag)
    body = ring.open(header, frame)
    if example.stream is not None:
        prefix, body = frames.parse_prefix(body)
        assert (prefix.seq, prefix.flags) == example.stream
    message = frames.parse_message(header.kind, body)
    if isinstance(message, frames.Updtree):
        assert frames.unpack_updtree(message) == PAYLOADS[message.form.name.lower()]
    else:
        assert message == example.message
