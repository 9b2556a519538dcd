"""Garbage parses or raises RemoteError; and what parses, packs to the same bytes again."""

import random
from collections import Counter

import pytest
import zstandard

from l2sync import frames
from l2sync.frames import Keyring, Kind, RemoteError

from .examples import CLUSTER, KEY, KEY_ID, SESSION, Example, examples

ROUNDS = 100_000


def mangled(body: bytes, rng: random.Random) -> bytes:
    """Random bytes, or the body with some bytes changed, cut out, put in, or written twice."""
    way = rng.getrandbits(3)
    if way == 0:
        return rng.randbytes(rng.getrandbits(7))
    changed = bytearray(body)
    at = rng.randrange(len(changed)) if changed else 0
    if way <= 3:
        changed[at : at + 1] = rng.randbytes(1)
    elif way == 4:
        del changed[at:]
    elif way == 5:
        changed[at:at] = rng.randbytes(rng.getrandbits(3))
    elif way == 6:
        changed[at : at + rng.getrandbits(2)] = bytes((rng.choice((0x00, 0x01, 0x7F, 0xFF)),)) * rng.getrandbits(2)
    else:
        changed += changed[at:]
    return bytes(changed)


def read_plaintext(kind: Kind, plaintext: bytes, reassembler: frames.Reassembler) -> None:
    """Do all that a receiver does with a frame's plaintext."""
    if kind in frames.STREAMED:
        prefix, fragment = frames.parse_prefix(plaintext)
        assert frames.pack_prefix(prefix.seq, prefix.flags) + fragment == plaintext
        whole = reassembler.feed(fragment, prefix.more)
        if whole is None:
            return
        plaintext = whole
    message = frames.parse_message(kind, plaintext)
    assert message.pack() == plaintext
    if isinstance(message, frames.Updtree):
        frames.unpack_updtree(message)


def fuzz_unsealed(example: Example, rounds: int) -> Counter[str]:
    """Mangled plaintexts, straight into the parser."""
    rng = random.Random(f"unsealed {example.title}")
    reassembler = frames.Reassembler()
    outcomes: Counter[str] = Counter()
    plaintexts = [example.sealed_body]
    if example.kind is Kind.UPDTREE:
        payload = frames.unpack_updtree(frames.Updtree.parse(example.body))
        prefix = frames.pack_prefix(*example.stream)
        small = frames.Updtree(1, 2, payload.FORM, frames.Codec.ZSTD, zstandard.compress(payload.pack()))
        plaintexts.append(prefix + small.pack())
    for _ in range(rounds):
        try:
            read_plaintext(example.kind, mangled(rng.choice(plaintexts), rng), reassembler)
            outcomes["parsed"] += 1
        except RemoteError as error:
            outcomes[error.reason] += 1
    return outcomes


def fuzz_sealed(example: Example, rounds: int) -> Counter[str]:
    """By turns: a sealed frame that was mangled on its way, and a mangled plaintext that a member sealed."""
    rng = random.Random(f"sealed {example.title}")
    member = Keyring(CLUSTER, {KEY_ID: KEY}, KEY_ID)
    reassembler = frames.Reassembler()
    outcomes: Counter[str] = Counter()
    genuine, plaintext = example.frame, example.sealed_body
    for turn in range(rounds):
        if turn & 1:
            frame = mangled(genuine, rng)
        else:
            body = mangled(plaintext, rng)
            frame = member.seal(example.kind, example.src, example.dst, SESSION, turn, body)
        try:
            header = frames.parse_header(frame)
            opened = member.open(header, frame)
            # Padding is all that may differ in a frame that opens.
            assert not turn & 1 or frame.startswith(genuine)
            read_plaintext(Kind(header.kind), opened, reassembler)
            outcomes["parsed"] += 1
        except RemoteError as error:
            outcomes[error.reason] += 1
    return outcomes


BY_TITLE = {example.title: example for example in examples()}


@pytest.mark.parametrize("title", BY_TITLE)
def test_some_garbage_of_each_kind_parses_or_raises_remote_error(title):
    assert fuzz_unsealed(BY_TITLE[title], 500).total() == 500
    assert fuzz_sealed(BY_TITLE[title], 500).total() == 500


@pytest.mark.slow
@pytest.mark.parametrize("title", BY_TITLE)
def test_much_garbage_unsealed_parses_or_raises_remote_error(title):
    outcomes = fuzz_unsealed(BY_TITLE[title], ROUNDS)
    assert outcomes["parsed"] and outcomes["malformed"]


@pytest.mark.slow
@pytest.mark.parametrize("title", BY_TITLE)
def test_much_garbage_sealed_parses_or_raises_remote_error(title):
    outcomes = fuzz_sealed(BY_TITLE[title], ROUNDS)
    assert outcomes["parsed"] and outcomes["malformed"] and outcomes["forged"]
