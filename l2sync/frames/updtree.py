"""The message that compares trees and carries their entries: a common head, and one of three payloads.

The payload is compressed where that makes it smaller; whoever reads it never unpacks more than `MAX_PAYLOAD` bytes.
"""

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar, Self

import zstandard
from construct import GreedyBytes, Int8ub, Int32ub, Int64ub

from .declare import (
    Choice,
    Digest,
    Flag,
    Listed,
    LongOctets,
    Message,
    Octets,
    Prefix,
    Record,
    Row,
    declared,
)
from .errors import LocalError, RemoteError
from .header import Kind

MAX_PAYLOAD = 16 * 1024 * 1024
"""Bytes that a payload may have when unpacked."""
_WORTH_COMPRESSING = 64
_compressor = zstandard.ZstdCompressor(level=3)
_decompressor = zstandard.ZstdDecompressor(max_window_size=MAX_PAYLOAD)


class Form(IntEnum):
    """Which payload an updtree has."""

    DIGESTS = 1
    ASK = 2
    ENTRIES = 3


class Codec(IntEnum):
    """How the payload is written."""

    RAW = 0
    ZSTD = 1


@declared(
    Record(
        "path" / Octets * "the directory, empty: the root",
        "prefix" / Prefix * "first hexadecimal digits of the name hashes that this piece covers",
        "total" / Int32ub * "number of children under the prefix",
        "buckets"
        / Listed(
            Row(
                "nibble" / Int8ub * "the next digit, 0 to 15",
                "digest" / Digest * "of all children under prefix and digit",
                check=lambda nibble, digest: nibble < 16,
            )
        )
        * "digests one digit further down, where the children are many",
        "names"
        / Listed(
            Row(
                "name" / Octets * "the child's name",
                "entry" / Digest * "of its entry",
                "subtree" / Digest * "of all below it",
            )
        )
        * "the children themselves, where they are few",
    )
)
@dataclass(frozen=True, slots=True)
class Piece(Message):
    """The children of a directory whose hashed names begin alike, as names or as digests."""

    path: bytes
    prefix: bytes
    total: int
    buckets: tuple[tuple[int, bytes], ...]
    names: tuple[tuple[bytes, bytes, bytes], ...]


@declared(Record("pieces" / Listed(Piece.FORMAT) * "pieces of the sender's tree"))
@dataclass(frozen=True, slots=True)
class Digests(Message):
    """Pieces of the sender's tree, for others to compare with theirs."""

    FORM: ClassVar = Form.DIGESTS
    pieces: tuple[Piece, ...]


@declared(
    Record(
        "items"
        / Listed(Row("path" / Octets * "whose entry", "recursive" / Flag * "whether with all that is below it"))
        * "entries that the sender wants to be told"
    )
)
@dataclass(frozen=True, slots=True)
class Ask(Message):
    """The sender asks for entries."""

    FORM: ClassVar = Form.ASK
    items: tuple[tuple[bytes, bool], ...]


_ENTRIES = struct.Struct(">BIH")
_LENGTH = struct.Struct(">I")


@declared(
    Record(
        "last" / Flag * "whether these are the last of the batch",
        "first" / Int32ub * "index of the first of them in the batch",
        "entries" / Listed(LongOctets) * "packed entries",
    )
)
@dataclass(frozen=True, slots=True)
class Entries(Message):
    """A run of a batch's entries. Hand-packed besides its declaration: a first sync has hundred thousands."""

    FORM: ClassVar = Form.ENTRIES
    last: bool
    first: int
    entries: tuple[bytes, ...]

    def _pack(self) -> bytes:
        parts = [_ENTRIES.pack(bool(self.last), self.first, len(self.entries))]
        for entry in self.entries:
            parts += (_LENGTH.pack(len(entry)), entry)
        return b"".join(parts)

    @classmethod
    def _parse(cls, body: bytes) -> Self:
        last, first, count = _ENTRIES.unpack_from(body)
        if last > 1:
            raise ValueError("a flag that is none")
        entries = []
        at, read = _ENTRIES.size, _LENGTH.unpack_from
        for _ in range(count):
            begin = at + 4
            at = begin + read(body, at)[0]
            entries.append(body[begin:at])
        # A slice beyond the end is silently short; then `at` has passed the end too.
        if at != len(body):
            raise ValueError("lengths that do not add up")
        return cls(bool(last), first, tuple(entries))


Payload = Digests | Ask | Entries
_PAYLOADS: dict[Form, type[Digests] | type[Ask] | type[Entries]] = {
    Form.DIGESTS: Digests,
    Form.ASK: Ask,
    Form.ENTRIES: Entries,
}
_UPDTREE = struct.Struct(">QIBB")


@declared(
    Record(
        "tree" / Int64ub * "which tree, a number made from its name",
        "batch" / Int32ub * "number of the batch that the entries belong to, 0: none",
        "form" / Choice(Form) * "which payload follows",
        "codec" / Choice(Codec) * "how it is written",
        "payload" / GreedyBytes * "one of the three below",
    )
)
@dataclass(frozen=True, slots=True)
class Updtree(Message):
    """Digests of a tree, a wish for entries, or entries."""

    KIND: ClassVar = Kind.UPDTREE
    tree: int
    batch: int
    form: Form
    codec: Codec
    payload: bytes

    def _pack(self) -> bytes:
        head = _UPDTREE.pack(self.tree, self.batch, Form(self.form), Codec(self.codec))
        return head + self.payload

    @classmethod
    def _parse(cls, body: bytes) -> Self:
        tree, batch, form, codec = _UPDTREE.unpack_from(body)
        return cls(tree, batch, Form(form), Codec(codec), body[_UPDTREE.size :])


def pack_updtree(tree: int, batch: int, payload: Payload) -> bytes:
    """The body of an updtree with this payload, compressed where that makes it smaller.

    Raises LocalError where a value does not fit its field or the payload exceeds `MAX_PAYLOAD`.
    """
    raw = payload.pack()
    if len(raw) > MAX_PAYLOAD:
        raise LocalError(f"a payload of {len(raw)} bytes; no reader would unpack it")
    if len(raw) >= _WORTH_COMPRESSING:
        small = _compressor.compress(raw)
        if len(small) < len(raw):
            return Updtree(tree, batch, payload.FORM, Codec.ZSTD, small).pack()
    return Updtree(tree, batch, payload.FORM, Codec.RAW, raw).pack()


def unpack_updtree(message: Updtree) -> Payload:
    """What an updtree says. Raises RemoteError: "malformed", or "bomb" if it would unpack beyond `MAX_PAYLOAD`."""
    raw = message.payload
    if message.codec is Codec.ZSTD:
        raw = _decompress(raw)
    if len(raw) > MAX_PAYLOAD:
        raise RemoteError("bomb", f"a payload of {len(raw)} bytes")
    return _PAYLOADS[message.form].parse(raw)


def _decompress(packed: bytes) -> bytes:
    try:
        # The decompressor allocates whatever size the data claims: the claim has to be checked before.
        size = zstandard.get_frame_parameters(packed).content_size
        if size == zstandard.CONTENTSIZE_UNKNOWN or size == zstandard.CONTENTSIZE_ERROR:
            raise RemoteError("malformed", "compressed data that does not tell its size")
        if size > MAX_PAYLOAD:
            raise RemoteError("bomb", f"a payload of {size} bytes")
        return _decompressor.decompress(packed, max_output_size=MAX_PAYLOAD, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise RemoteError("malformed", f"compressed data: {error}") from error
