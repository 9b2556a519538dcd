"""A frame's header as a scapy layer, and the opening of its body.

Written from the protocol's description alone, without the code in l2sync: what both agree upon, the description says.
"""

import hashlib
import hmac
import struct

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from scapy.fields import (
    BitEnumField,
    BitField,
    ByteField,
    Field,
    FieldLenField,
    StrFixedLenField,
    StrLenField,
    XLongField,
    XShortField,
    XStrFixedLenField,
)
from scapy.layers.l2 import Ether
from scapy.packet import Packet, bind_layers

ETHERTYPE = 0x88B5
KINDS = {
    1: "hello",
    2: "welcome",
    3: "register",
    4: "updtree",
    5: "lock",
    6: "unlockall",
    7: "ack",
    8: "ping",
    9: "rej",
    10: "die",
    11: "bye",
    12: "data",
    13: "want",
    14: "repair",
    15: "done",
    16: "query",
    17: "report",
    18: "decision",
    19: "ban",
    20: "base",
    21: "probe",
    22: "probed",
    23: "tally",
    24: "chain",
    25: "part",
    26: "roll",
}


class SixByteField(Field):
    """An unsigned integer of 48 bits, which scapy has none for."""

    def __init__(self, name: str, default: int) -> None:
        super().__init__(name, default, "6s")

    def i2m(self, pkt: Packet | None, x: int | None) -> bytes:
        return struct.pack(">Q", x or 0)[2:]

    def m2i(self, pkt: Packet | None, x: bytes) -> int:
        return int.from_bytes(x, "big")


class L2Sync(Packet):
    """A whole frame behind Ethernet's header; what follows the tag is padding."""

    name = "l2sync"
    fields_desc = [  # noqa: RUF012  # scapy's way
        StrFixedLenField("magic", b"L2", 2),
        ByteField("version", 1),
        BitField("more_follows", 0, 1),
        BitEnumField("kind", 1, 7, KINDS),
        XStrFixedLenField("cluster", bytes(4), 4),
        ByteField("key_id", 1),
        XShortField("src", 0xFFFF),
        XShortField("dst", 0xFFFF),
        XLongField("session", 0),
        SixByteField("serial", 0),
        FieldLenField("length", None, length_of="body", fmt="!H"),
        StrLenField("body", b"", length_from=lambda pkt: pkt.length),
        StrFixedLenField("tag", bytes(16), 16),
    ]

    def extract_padding(self, s: bytes) -> tuple[bytes, bytes]:
        return b"", s


bind_layers(Ether, L2Sync, type=ETHERTYPE)


def session_key(cluster_key: bytes, session: int, cluster: str) -> bytes:
    """HKDF (RFC 5869) with SHA-256; one block of output is all that is needed."""
    extracted = hmac.digest(struct.pack(">Q", session), cluster_key, hashlib.sha256)
    return hmac.digest(extracted, b"l2sync v1 session" + cluster.encode() + b"\x01", hashlib.sha256)


def open_body(frame: L2Sync, cluster_key: bytes, cluster: str) -> bytes:
    """The plaintext of a frame. Raises cryptography's InvalidTag if it was not sealed with this key."""
    header = bytes(frame)[:29]
    cipher = AESGCM(session_key(cluster_key, frame.session, cluster))
    return cipher.decrypt(bytes(6) + frame.getfieldval("serial").to_bytes(6, "big"), frame.body + frame.tag, header)
