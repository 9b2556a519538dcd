"""Messages that must arrive: their place in the sender's ordered stream, and their fragments.

The body of such a frame is a prefix and a fragment of the message; the fragments' places follow each other.
"""

import struct
from dataclasses import dataclass

from construct import ExprValidator, Int8ub

from .declare import Int48ub, Message, Record, declared
from .errors import LocalError, RemoteError
from .header import Kind

STREAMED = frozenset(
    {
        Kind.UPDTREE,
        Kind.LOCK,
        Kind.UNLOCKALL,
        Kind.WANT,
        Kind.DONE,
        Kind.QUERY,
        Kind.REPORT,
        Kind.DECISION,
        Kind.BAN,
        Kind.BASE,
        Kind.CHAIN,
    }
)
"""The kinds whose bodies begin with a prefix."""
UNICAST = 1
"""Flag: the place is one in the stream from the sender to the addressed node alone, not in its broadcast stream."""
MORE = 2
"""Flag: the message goes on in the next place."""
MAX_MESSAGE = 32 * 1024 * 1024
"""Bytes that a message may have when put together."""

_PREFIX = struct.Struct(">HIB")
PREFIX_SIZE = _PREFIX.size


@declared(
    Record(
        "seq" / Int48ub * "place in the stream, counted from 0",
        "flags"
        / ExprValidator(Int8ub, lambda flags, _: not flags & ~(UNICAST | MORE))
        * "1: the stream to the addressed node alone; 2: the message goes on in the next place",
    )
)
@dataclass(frozen=True, slots=True)
class StreamPrefix(Message):
    """What stands before the fragment in a frame of a stream."""

    seq: int
    flags: int

    @property
    def unicast(self) -> bool:
        """Whether it belongs to the stream to the addressed node alone."""
        return bool(self.flags & UNICAST)

    @property
    def more(self) -> bool:
        """Whether the message goes on in the next place."""
        return bool(self.flags & MORE)


def pack_prefix(seq: int, flags: int) -> bytes:
    """The prefix's bytes. Raises LocalError where a value does not fit its field."""
    try:
        packed = _PREFIX.pack(seq >> 32, seq & 0xFFFFFFFF, flags)
    except struct.error as error:
        raise LocalError(f"StreamPrefix cannot be packed: {error}") from error
    if flags & ~(UNICAST | MORE):
        raise LocalError(f"StreamPrefix cannot be packed: flags {flags}")
    return packed


def parse_prefix(body: bytes) -> tuple[StreamPrefix, bytes]:
    """The prefix of a body, and the fragment behind it. Raises RemoteError("malformed")."""
    if len(body) < PREFIX_SIZE:
        raise RemoteError("malformed", "no room for a place in the stream")
    high, low, flags = _PREFIX.unpack_from(body)
    if flags & ~(UNICAST | MORE):
        raise RemoteError("malformed", f"stream flags {flags}")
    return StreamPrefix(high << 32 | low, flags), body[PREFIX_SIZE:]


def fragment(body: bytes, room: int) -> list[bytes]:
    """Cut a message into pieces of up to room bytes (prefix not counted); an empty message is one empty piece.

    Raises LocalError if there is no room, or if the message exceeds `MAX_MESSAGE`.
    """
    if room < 1:
        raise LocalError("no room for a fragment")
    if len(body) > MAX_MESSAGE:
        raise LocalError(f"a message of {len(body)} bytes; no receiver would put it together")
    return [body[at : at + room] for at in range(0, len(body), room)] or [b""]


class Reassembler:
    """Puts the fragments of one stream together again; they come in order, each once."""

    def __init__(self) -> None:
        self._gathered = bytearray()
        self._skipping = False

    def feed(self, fragment: bytes, more: bool) -> bytes | None:
        """The message that this fragment completes, or None.

        Raises RemoteError: "oversized" once for a message beyond `MAX_MESSAGE`, the rest of which is swallowed;
        "malformed" for an empty fragment that is not the last.
        """
        if self._skipping:
            self._skipping = more
            return None
        if not self._gathered and not more:
            return fragment
        if more and not fragment:
            raise RemoteError("malformed", "an empty fragment that is not the last")
        if len(self._gathered) + len(fragment) > MAX_MESSAGE:
            self._gathered = bytearray()
            self._skipping = more
            raise RemoteError("oversized", f"a message of more than {MAX_MESSAGE} bytes")
        self._gathered += fragment
        if more:
            return None
        message = bytes(self._gathered)
        self._gathered = bytearray()
        return message
