"""The messages that lock paths, carry content, and ask for what is missing of it."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar, Self

from construct import ExprValidator, GreedyBytes, Int8ub, Int16ub, Int24ub, Int32ub, Int64ub

from .declare import Choice, Flag, Int48ub, Listed, Message, Octets, Record, Row, Text, declared, spans
from .errors import LocalError, RemoteError
from .header import NOID, Kind


class Purpose(IntEnum):
    """What a lock is for."""

    BATCH = 1
    USER = 2


@declared(
    Record(
        "number" / Int32ub * "of the claim, counted by its origin in its session from 1; a batch has the same number",
        "lamport" / Int64ub * "the claim's logical time; with the session it orders all claims; 0: already held",
        "tree" / Int64ub * "which tree, a number made from its name",
        "purpose" / Choice(Purpose) * "what for",
        "paths" / Listed(Octets) * "what is claimed, each path with all that is below it",
    )
)
@dataclass(frozen=True, slots=True)
class Lock(Message):
    """A claim to a set of paths, all or nothing."""

    KIND: ClassVar = Kind.LOCK
    number: int
    lamport: int
    tree: int
    purpose: Purpose
    paths: tuple[bytes, ...]


@declared(
    Record(
        "number" / Int32ub * "of the claim that ends, 0: all claims of the sender",
        "commit" / Flag * "whether what was staged under it is to be put in place now",
    )
)
@dataclass(frozen=True, slots=True)
class Unlockall(Message):
    """A claim ends; with commit, its batch becomes visible everywhere."""

    KIND: ClassVar = Kind.UNLOCKALL
    number: int
    commit: bool


_DATA = struct.Struct(">IHBBB")


@declared(
    Record(
        "batch" / Int32ub * "number of the batch in the sender's session",
        "generation" / Int24ub * "number of the generation in the batch",
        "k" / ExprValidator(Int8ub, lambda k, _: k > 0) * "how many source symbols the generation has, at least 1",
        "symbol" / Int8ub * "which symbol this is; below k a source symbol, else a repair symbol",
        "payload" / GreedyBytes * "the symbol",
    )
)
@dataclass(frozen=True, slots=True)
class Data(Message):
    """One symbol of a coded run of chunks."""

    KIND: ClassVar = Kind.DATA
    batch: int
    generation: int
    k: int
    symbol: int
    payload: bytes

    def _pack(self) -> bytes:
        return pack_data(self.batch, self.generation, self.k, self.symbol, self.payload)

    @classmethod
    def _parse(cls, body: bytes) -> Self:
        return cls(*parse_data(body))


def pack_symbols(batch: int, generation: int, k: int, symbols: Sequence[tuple[int, bytes]]) -> list[bytes]:
    """Bodies of data frames for symbols of one generation, as `pack_data` gives each. Raises LocalError."""
    pack, high, low = _DATA.pack, generation >> 8, generation & 0xFF
    try:
        bodies = [pack(batch, high, low, k, number) + symbol for number, symbol in symbols]
    except struct.error as error:
        raise LocalError(f"Data cannot be packed: {error}") from error
    if not k:
        raise LocalError("Data cannot be packed: a generation has at least one symbol")
    return bodies


def pack_data(batch: int, generation: int, k: int, symbol: int, payload: bytes) -> bytes:
    """The body of a data frame, as `Data.pack` gives it. Raises LocalError where a value does not fit."""
    return pack_symbols(batch, generation, k, ((symbol, payload),))[0]


def parse_data(body: bytes) -> tuple[int, int, int, int, bytes]:
    """Batch, generation, k, symbol, payload of a data frame's body. Raises RemoteError("malformed")."""
    if len(body) < _DATA.size:
        raise RemoteError("malformed", "Data: cut off")
    batch, high, low, k, symbol = _DATA.unpack_from(body)
    if not k:
        raise RemoteError("malformed", "Data: a generation without symbols")
    return batch, high << 8 | low, k, symbol, body[_DATA.size :]


split_data = _DATA.unpack_from
"""Batch, generation's high and low part, k and symbol at the begin of a data frame's body. Raises struct.error."""
DATA_OVERHEAD = _DATA.size
"""Bytes that a data frame's body has before its payload."""
_WANT = struct.Struct(">IH")
_SPAN = struct.Struct(">II")


@declared(
    Record(
        "batch" / Int32ub * "number of the batch in the addressed node's session",
        "ranges" / spans(Int32ub, "lowest index of a run of chunks", "highest index of that run") * "chunks to be sent",
    )
)
@dataclass(frozen=True, slots=True)
class Want(Message):
    """Which chunks of a batch the sender has not got. Hand-packed besides its declaration."""

    KIND: ClassVar = Kind.WANT
    batch: int
    ranges: tuple[tuple[int, int], ...]

    def _pack(self) -> bytes:
        parts = [_WANT.pack(self.batch, len(self.ranges))]
        for first, last in self.ranges:
            if first > last:
                raise ValueError(f"a range that ends before it begins: {first}, {last}")
            parts.append(_SPAN.pack(first, last))
        return b"".join(parts)

    @classmethod
    def _parse(cls, body: bytes) -> Self:
        batch, count = _WANT.unpack_from(body)
        if len(body) != _WANT.size + count * _SPAN.size:
            raise ValueError("a length that does not go with the number of ranges")
        ranges: tuple[tuple[int, int], ...] = tuple(_SPAN.iter_unpack(body[_WANT.size :]))
        for first, last in ranges:
            if first > last:
                raise ValueError("a range that ends before it begins")
        return cls(batch, ranges)


@declared(
    Record(
        "batch" / Int32ub * "number of the batch in the addressed node's session",
        "last_serial" / Int48ub * "highest serial of its data frames that has arrived",
        "symbols" / Int32ub * "how many symbols of the batch have arrived in all",
        "lacks"
        / Listed(Row("generation" / Int24ub * "which generation", "count" / Int8ub * "symbols that it still lacks"))
        * "generations that cannot be decoded yet",
        "origin" / Int16ub * "whose batch it is, where all are told; 0xFFFF: the addressed node's",
    )
)
@dataclass(frozen=True, slots=True)
class Repair(Message):
    """How reception goes, and what has to be mended."""

    KIND: ClassVar = Kind.REPAIR
    batch: int
    last_serial: int
    symbols: int
    lacks: tuple[tuple[int, int], ...]
    origin: int = NOID


class Stage(IntEnum):
    """How far a batch has got."""

    STAGED = 1
    COMMITTED = 2
    GONE = 3


@declared(
    Record(
        "batch" / Int32ub * "number of the batch in its origin's session",
        "stage" / Choice(Stage) * "staged or committed at the sender; gone: the origin can no longer read its chunks",
        "failed"
        / Listed(Row("path" / Octets * "what could not be done", "reason" / Text * "why, for people"))
        * "entries left out",
    )
)
@dataclass(frozen=True, slots=True)
class Done(Message):
    """A stage of a batch is reached."""

    KIND: ClassVar = Kind.DONE
    batch: int
    stage: Stage
    failed: tuple[tuple[bytes, str], ...] = ()
