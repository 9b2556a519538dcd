"""A dissection written from the description alone sees the same frames; and the sniffer shows them."""

import importlib.machinery
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidTag
from hypothesis import given
from hypothesis import strategies as st

from l2sync import frames

from .examples import CLUSTER, KEY, KEY_ID, SESSION, examples
from .strategies import unsigned

pytest.importorskip("scapy")

from scapy.layers.l2 import Ether
from scapy.packet import Raw
from scapy.utils import wrpcap

TOOLS = Path(__file__).resolve().parents[2] / "tools"


def load_tool(name: str, file: str):
    loader = importlib.machinery.SourceFileLoader(name, str(TOOLS / file))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(name, loader))
    sys.modules[name] = module
    loader.exec_module(module)
    return module


layer = load_tool("l2sync_layer", "l2sync_layer.py")
RING = frames.Keyring(CLUSTER, {KEY_ID: KEY}, KEY_ID)
ETHERNET = bytes.fromhex("ffffffffffff 020000000001 88b5")


@pytest.mark.parametrize("example", examples(), ids=lambda example: example.title)
def test_an_independent_dissection_sees_the_same_header_and_plaintext(example):
    dissected = Ether(ETHERNET + example.frame)[layer.L2Sync]
    header = frames.parse_header(example.frame)
    for name in ("kind", "cluster", "key_id", "src", "dst", "session", "serial", "length"):
        assert dissected.getfieldval(name) == getattr(header, name)
    assert layer.KINDS[dissected.kind] == frames.Kind(header.kind).name.lower()
    assert layer.open_body(dissected, KEY, CLUSTER) == RING.open(header, example.frame) == example.sealed_body


@given(st.binary(max_size=80), unsigned(64), unsigned(48), st.binary(max_size=30))
def test_padding_is_no_part_of_the_dissected_frame(body, session, serial, padding):
    frame = RING.seal(frames.Kind.BYE, 1, 2, session, serial, body)
    dissected = Ether(ETHERNET + frame + padding)[layer.L2Sync]
    assert layer.open_body(dissected, KEY, CLUSTER) == body
    assert bytes(dissected.payload) == padding


def test_a_frame_built_by_the_independent_layer_is_read_by_ours():
    plaintext = frames.Bye("built elsewhere").pack()
    built = layer.L2Sync(
        kind=11, cluster=RING.tag, key_id=KEY_ID, src=3, session=SESSION, serial=77, length=len(plaintext)
    )
    nonce = bytes(6) + (77).to_bytes(6, "big")
    cipher = layer.AESGCM(layer.session_key(KEY, SESSION, CLUSTER))
    sealed = cipher.encrypt(nonce, plaintext, bytes(built)[: frames.HEADER_SIZE])
    built.body, built.tag = sealed[:-16], sealed[-16:]
    frame = bytes(built)
    assert frame == RING.seal(frames.Kind.BYE, 3, frames.NOID, SESSION, 77, plaintext)
    assert RING.open(frames.parse_header(frame), frame) == plaintext


def test_the_independent_opening_refuses_what_was_changed():
    frame = bytearray(examples()[0].frame)
    frame[9] ^= 1
    with pytest.raises(InvalidTag):
        layer.open_body(layer.L2Sync(bytes(frame)), KEY, CLUSTER)


def test_the_cluster_tag_is_as_described():
    blake3 = pytest.importorskip("blake3").blake3
    assert RING.tag == blake3(b"l2sync cluster" + CLUSTER.encode()).digest()[:4]


@pytest.fixture(scope="module")
def sniffer():
    return load_tool("sniff_tool", "sniff")


def lines(sniffer, captured: list[bytes], keys: dict[int, bytes] | None = None) -> list[str]:
    reader = sniffer.Reader({KEY_ID: KEY} if keys is None else keys, CLUSTER)
    return [reader.line(Ether(ETHERNET + frame)) for frame in captured]


def test_the_sniffer_shows_what_each_kind_of_frame_says(sniffer):
    told = dict(zip([e.title for e in examples()], lines(sniffer, [e.frame for e in examples()]), strict=True))
    assert "Hello(name='web1' nonce=a0a1a2a3a4a5a6a7)" in told["hello"]
    assert " ---- > all " in told["hello"]
    assert "0 > 5     ack" in told["ack"]
    assert "ranges=[[0 5] [7 7]]" in told["ack"]
    assert "stream 20 Lock(number=9" in told["lock"]
    assert "unicast 3 Want(batch=9 ranges=[[0 99] [120 120]])" in told["want"]
    assert "Digests(pieces=[Piece(path='html'" in told["updtree, digests"]
    assert all(f"serial={e.serial} " in told[e.title] for e in examples())


def test_the_sniffer_shows_headers_without_a_key_and_says_what_does_not_open(sniffer):
    frame = examples()[0].frame
    assert "sealed, 13 bytes" in lines(sniffer, [frame], {})[0]
    assert "NOT OPENED" in lines(sniffer, [frame], {KEY_ID: bytes(32)})[0]


def test_the_sniffer_shows_a_body_that_is_no_message_as_such(sniffer):
    frame = RING.seal(frames.Kind.HELLO, 1, 2, SESSION, 3, b"\xff")
    assert "NOT UNDERSTOOD: malformed" in lines(sniffer, [frame])[0]


def test_the_sniffer_puts_fragments_together(sniffer):
    pieces = frames.fragment(frames.Lock(9, 1, 2, frames.Purpose.USER, (b"some/path",)).pack(), 12)
    captured = [
        RING.seal(
            frames.Kind.LOCK,
            0,
            frames.NOID,
            SESSION,
            serial,
            frames.pack_prefix(serial, frames.MORE if piece is not pieces[-1] else 0) + piece,
        )
        for serial, piece in enumerate(pieces)
    ]
    told = lines(sniffer, [*captured, captured[0]])
    assert "stream 0, 12 bytes, more follows" in told[0]
    assert "paths=['some/path']" in told[len(pieces) - 1]
    assert "stream 0 again" in told[-1]


@pytest.mark.slow
def test_the_sniffer_reads_a_capture_and_skips_what_is_not_ours(tmp_path):
    others = [Ether(ETHERNET + b"XX" + bytes(60)), Ether(ETHERNET + b"short"), Ether(type=0x0800) / Raw(bytes(40))]
    wrpcap(str(tmp_path / "trace.pcap"), [*others, *(Ether(ETHERNET + example.frame) for example in examples())])
    (tmp_path / "key").write_text(frames.format_key(KEY_ID, KEY) + "\n")
    command = [sys.executable, str(TOOLS / "sniff"), "--pcap", "trace.pcap"]
    with_key = [*command, "--key", "key", "--cluster", CLUSTER]
    told = subprocess.run(with_key, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert len(told.stdout.splitlines()) == len(examples())
    assert "NOT" not in told.stdout
    first = subprocess.run([*command, "--count", "1"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert len(first.stdout.splitlines()) == 1
    (tmp_path / "key").write_text("nonsense\n")
    refused = subprocess.run(with_key, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert refused.returncode == 1
    assert "sniff: key: line 1" in refused.stderr
