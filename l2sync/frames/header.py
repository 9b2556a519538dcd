"""The clear, authenticated header that every frame begins with.

All integers are big-endian. The length counts the sealed body without its tag: network cards pad short frames to
Ethernet's minimum, and the cipher needs to know where the body ends.
"""

import struct
from enum import IntEnum
from typing import NamedTuple

from construct import Bytes, Const, Int8ub, Int16ub, Int64ub, Struct

from .declare import Int48ub
from .errors import LocalError, RemoteError

NOID = 0xFFFF
"""The node id of who has none yet; as a destination: everybody."""
ETHERTYPE = 0x88B5
"""IEEE 802's "local experimental 1", our default."""
MAGIC = b"L2"
VERSION = 1
TAG_SIZE = 16
"""Bytes of the authentication tag behind the sealed body."""
MAX_BODY = 0xFFFF


class Kind(IntEnum):
    """What a frame is."""

    HELLO = 1
    WELCOME = 2
    REGISTER = 3
    UPDTREE = 4
    LOCK = 5
    UNLOCKALL = 6
    ACK = 7
    PING = 8
    REJ = 9
    DIE = 10
    BYE = 11
    DATA = 12
    WANT = 13
    REPAIR = 14
    DONE = 15
    QUERY = 16
    REPORT = 17
    DECISION = 18
    BAN = 19
    BASE = 20
    PROBE = 21
    PROBED = 22
    TALLY = 23
    CHAIN = 24
    PART = 25
    ROLL = 26


MORE_FOLLOWS = 0x80
"""Set in a frame's kind: the sender says more at once, and nothing is to be done about this frame before it is here."""
UNHURRIED = bytes([Kind.PING, Kind.LOCK | MORE_FOLLOWS, Kind.UPDTREE | MORE_FOLLOWS])
"""Kinds of frames that nobody waits for: receivers read them when they are awake for something else, or look for them.

A ping says what the last one said, or what will be seen soon enough.
"""

HEADER = Struct(
    "magic" / Const(MAGIC) * "tells our frames from others of the same EtherType",
    "version" / Const(VERSION, Int8ub) * "of the protocol; a frame of another is dropped",
    "kind" / Int8ub * "what the body is, see the sections below; with 0x80 added: more follows at once, none need wake",
    "cluster" / Bytes(4) * "first bytes of BLAKE3 over `l2sync cluster` and the cluster's name",
    "key_id" / Int8ub * "which of the cluster's keys sealed it",
    "src" / Int16ub * "node id of the sender, 0xFFFF before it has one",
    "dst" / Int16ub * "node id it is meant for, 0xFFFF: all",
    "session" / Int64ub * "random, drawn at each start of the sender",
    "serial" / Int48ub * "number of this frame among the sender's in its session; never used twice",
    "length" / Int16ub * "of the sealed body without its tag, in bytes; what follows the tag is padding",
)
"""The declaration. `pack_header` and `parse_header` are its faster twins."""

_LAYOUT = struct.Struct(">2sBB4sBHHQHIH")
HEADER_SIZE = _LAYOUT.size
OVERHEAD = HEADER_SIZE + TAG_SIZE
"""Bytes that a frame has beyond its body."""
RUN = struct.Struct(">21s6sH")
"""The same bytes for a run of frames of one kind from one sender: what they share, the serial, the length."""
_KINDS = frozenset(int(kind) for kind in Kind)


class Header(NamedTuple):
    """A frame's header, of which nothing is proven until the body has been opened with it."""

    kind: int
    """Without MORE_FOLLOWS, which says nothing any more once the frame is read."""
    cluster: bytes
    key_id: int
    src: int
    dst: int
    session: int
    serial: int
    length: int


def pack_header(
    kind: int, cluster: bytes, key_id: int, src: int, dst: int, session: int, serial: int, length: int
) -> bytes:
    """The header's bytes; ``kind`` may have MORE_FOLLOWS. Raises LocalError where a value does not fit its field."""
    try:
        return _LAYOUT.pack(
            MAGIC, VERSION, kind, cluster, key_id, src, dst, session, serial >> 32, serial & 0xFFFFFFFF, length
        )
    except struct.error as error:
        raise LocalError(f"no frame header can hold this: {error}") from error


def parse_header(frame: bytes | memoryview) -> Header:
    """Read the header of a whole frame as it came from the segment (without Ethernet's own header).

    Raises RemoteError: "short", "magic", "version", "unknown_kind".
    """
    if len(frame) < OVERHEAD:
        raise RemoteError("short", "no room for a header and a tag")
    magic, version, kind, cluster, key_id, src, dst, session, high, low, length = _LAYOUT.unpack_from(frame)
    if magic != MAGIC:
        raise RemoteError("magic")
    if version != VERSION:
        raise RemoteError("version", f"{version}, ours is {VERSION}")
    kind &= ~MORE_FOLLOWS
    if kind not in _KINDS:
        raise RemoteError("unknown_kind", str(kind))
    if len(frame) < OVERHEAD + length:
        raise RemoteError("short", "cut off within the body")
    return Header(kind, cluster, key_id, src, dst, session, high << 32 | low, length)
