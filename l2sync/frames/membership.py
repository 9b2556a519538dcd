"""The messages by which nodes find, admit, hear and leave each other."""

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar, Self

from construct import Bytes, Int8ub, Int16ub, Int32ub, Int64ub

from .declare import (
    Choice,
    Digest,
    Flag,
    Int48ub,
    Listed,
    Message,
    Name,
    Nonce,
    Perhaps,
    Record,
    Row,
    Text,
    declared,
    spans,
)
from .header import Kind


@declared(
    Record(
        "name" / Name * "the sender's node name",
        "nonce" / Nonce * "random, drawn at each start; who echoes it is alive now",
    )
)
@dataclass(frozen=True, slots=True)
class Hello(Message):
    """A node without an id asks who is there."""

    KIND: ClassVar = Kind.HELLO
    name: str
    nonce: bytes


@declared(
    Record(
        "session" / Int64ub * "the newcomer's session",
        "name" / Name * "the newcomer's node name",
        "id" / Int16ub * "the id remembered for that name, 0xFFFF: none",
        "echo" / Nonce * "the newcomer's nonce, zeros: not heard yet, this is a challenge",
    )
)
@dataclass(frozen=True, slots=True)
class Newcomer(Message):
    """One of the nodes that a welcome answers."""

    session: int
    name: str
    id: int
    echo: bytes


@declared(
    Record(
        "name" / Name * "the sender's node name",
        "nonce" / Nonce * "the sender's own nonce",
        "taken" / spans(Int16ub, "lowest id of a run that is taken", "highest id of that run") * "ids not to take",
        "newcomers" / Listed(Newcomer.FORMAT) * "whom this answers",
    )
)
@dataclass(frozen=True, slots=True)
class Welcome(Message):
    """A node with an id answers newcomers, many in one frame, or challenges sessions that it cannot place."""

    KIND: ClassVar = Kind.WELCOME
    name: str
    nonce: bytes
    taken: tuple[tuple[int, int], ...]
    newcomers: tuple[Newcomer, ...]


@declared(
    Record(
        "session" / Int64ub * "whose nonce it is",
        "nonce" / Nonce * "the nonce as heard",
    )
)
@dataclass(frozen=True, slots=True)
class Echo(Message):
    """The proof for one peer that the sender has heard its nonce."""

    session: int
    nonce: bytes


@declared(
    Record(
        "name" / Name * "the sender's node name",
        "nonce" / Nonce * "the sender's own nonce",
        "base" / Int48ub * "place of the next message in the sender's broadcast stream",
        "echoes" / Listed(Echo.FORMAT) * "the nonces of all whose welcome was heard",
    )
)
@dataclass(frozen=True, slots=True)
class Register(Message):
    """The sender takes the id in the header's src; repeated until all who welcomed it have acked."""

    KIND: ClassVar = Kind.REGISTER
    name: str
    nonce: bytes
    base: int
    echoes: tuple[Echo, ...]


@declared(
    Record(
        "base" / Int48ub * "from this place of the sender's broadcast stream on, messages are owed to the registered",
        "echo" / Nonce * "the registered node's nonce",
    )
)
@dataclass(frozen=True, slots=True)
class Registration(Message):
    """What an ack adds when it answers a register."""

    base: int
    echo: bytes


@declared(
    Record(
        "stream" / Int48ub * "place of the next message in the sender's broadcast stream",
        "enrolled"
        / Listed(
            Row(
                "base" / Int48ub * "from this place of that stream on, messages are owed to the registered",
                "echo" / Nonce * "the registered node's nonce",
            )
        )
        * "whose registers this answers: who finds its nonce",
    )
)
@dataclass(frozen=True, slots=True)
class Roll(Message):
    """Answers many registers at once, as an ack with a registration answers one."""

    KIND: ClassVar = Kind.ROLL
    stream: int
    enrolled: tuple[tuple[int, bytes], ...]


_ACK_HEAD = struct.Struct(">QH")
_ACK_TAIL = struct.Struct(">IHIB")


@declared(
    Record(
        "session" / Int64ub * "whose serials are acknowledged",
        "ranges"
        / spans(Int48ub, "lowest serial of a run that arrived", "highest serial of that run")
        * "serials that arrived",
        "delay_us" / Int32ub * "microseconds between the newest of them arriving and this ack",
        "stream" / Int48ub * "place of the next message in the sender's broadcast stream",
        "registration" / Perhaps(Registration.FORMAT) * "if this answers a register",
    )
)
@dataclass(frozen=True, slots=True)
class Ack(Message):
    """What has arrived of one session's frames. Hand-packed besides its declaration: acks are frequent."""

    KIND: ClassVar = Kind.ACK
    session: int
    ranges: tuple[tuple[int, int], ...]
    delay_us: int
    stream: int
    registration: Registration | None = None

    def _pack(self) -> bytes:
        parts = [_ACK_HEAD.pack(self.session, len(self.ranges))]
        for first, last in self.ranges:
            if first > last:
                raise ValueError(f"a range that ends before it begins: {first}, {last}")
            parts.append(first.to_bytes(6, "big") + last.to_bytes(6, "big"))
        known = self.registration
        parts.append(_ACK_TAIL.pack(self.delay_us, self.stream >> 32, self.stream & 0xFFFFFFFF, known is not None))
        if known is not None:
            parts.append(known.build_declared())
        return b"".join(parts)

    @classmethod
    def _parse(cls, body: bytes) -> Self:
        session, count = _ACK_HEAD.unpack_from(body)
        end = _ACK_HEAD.size + 12 * count
        delay_us, high, low, flag = _ACK_TAIL.unpack_from(body, end)
        whole = int.from_bytes
        ranges = tuple(
            [(whole(body[at : at + 6], "big"), whole(body[at + 6 : at + 12], "big")) for at in range(10, end, 12)]
        )
        for first, last in ranges:
            if first > last:
                raise ValueError("a range that ends before it begins")
        end += _ACK_TAIL.size
        if flag == 1:
            return cls(session, ranges, delay_us, high << 32 | low, Registration.parse_declared(body[end:]))
        if flag or end != len(body):
            raise ValueError("bytes left over, or a flag that is none")
        return cls(session, ranges, delay_us, high << 32 | low)


_PING_HEAD = struct.Struct(">QHIHH")
_TREE_STATE = struct.Struct(">Q16sIBQ")
_KNOWN_KEY = struct.Struct(">B4s")


@declared(
    Record(
        "tree" / Int64ub * "which tree, a number made from its name",
        "digest" / Digest * "first half of the root's digest",
        "entries" / Int32ub * "number of entries, tombstones not counted",
        "state" / Int8ub * "what the tree is doing on that node",
        "replica" / Int64ub * "under which the sender counts its writes in the tree; no two nodes have the same",
    )
)
@dataclass(frozen=True, slots=True)
class TreeState(Message):
    """What a node says of one of its trees."""

    tree: int
    digest: bytes
    entries: int
    state: int
    replica: int = 0


@declared(
    Record(
        "key_id" / Int8ub * "as the header of a frame names it",
        "check" / Bytes(4) * "first bytes of a hash of the key, so that two keys of one id are told apart",
    )
)
@dataclass(frozen=True, slots=True)
class KnownKey(Message):
    """A key of the cluster that a node can open frames with."""

    key_id: int
    check: bytes


@declared(
    Record(
        "lamport" / Int64ub * "the sender's logical time",
        "stream" / Int48ub * "place of the next message in the sender's broadcast stream",
        "mtu" / Int16ub * "bytes that a frame to the sender may have behind Ethernet's header",
        "trees" / Listed(TreeState.FORMAT) * "the trees that the sender keeps",
        "keys" / Listed(KnownKey.FORMAT) * "the keys that the sender knows, the one that it seals with first",
    )
)
@dataclass(frozen=True, slots=True)
class Ping(Message):
    """The sender is here, and this is how far it is. Hand-packed besides its declaration: all hear all pings."""

    KIND: ClassVar = Kind.PING
    lamport: int
    stream: int
    mtu: int
    trees: tuple[TreeState, ...]
    keys: tuple[KnownKey, ...] = ()

    def _pack(self) -> bytes:
        stream = self.stream
        parts = [_PING_HEAD.pack(self.lamport, stream >> 32, stream & 0xFFFFFFFF, self.mtu, len(self.trees))]
        for state in self.trees:
            if len(state.digest) != 16:
                raise ValueError("a digest that has not 16 bytes")
            parts.append(_TREE_STATE.pack(state.tree, state.digest, state.entries, state.state, state.replica))
        parts.append(len(self.keys).to_bytes(2, "big"))
        for key in self.keys:
            if len(key.check) != 4:
                raise ValueError("a key's check that has not 4 bytes")
            parts.append(_KNOWN_KEY.pack(key.key_id, key.check))
        return b"".join(parts)

    @classmethod
    def _parse(cls, body: bytes) -> Self:
        lamport, high, low, mtu, count = _PING_HEAD.unpack_from(body)
        middle = _PING_HEAD.size + count * _TREE_STATE.size
        keys = int.from_bytes(body[middle : middle + 2], "big")
        if len(body) != middle + 2 + keys * _KNOWN_KEY.size:
            raise ValueError("a length that does not go with the numbers of trees and keys")
        trees = tuple([TreeState(*fields) for fields in _TREE_STATE.iter_unpack(body[_PING_HEAD.size : middle])])
        known = tuple([KnownKey(*fields) for fields in _KNOWN_KEY.iter_unpack(body[middle + 2 :])])
        return cls(lamport, high << 32 | low, mtu, trees, known)


class RejReason(IntEnum):
    """Why a node objects."""

    ID_TAKEN = 1
    NAME_TAKEN = 2
    LOCKED = 3
    UNKNOWN_SESSION = 4
    BANNED = 5


@declared(
    Record(
        "reason" / Choice(RejReason) * "why",
        "number" / Int32ub * "number of the lock claim that is meant, else the last 32 bits of the session refused",
        "id" / Int16ub * "the id that is taken, else 0xFFFF",
        "text" / Text * "the reason for people",
    )
)
@dataclass(frozen=True, slots=True)
class Rej(Message):
    """An objection: this id or these paths are somebody else's."""

    KIND: ClassVar = Kind.REJ
    reason: RejReason
    number: int
    id: int
    text: str


class DieReason(IntEnum):
    """Why a newcomer cannot be admitted."""

    NAME_TAKEN = 1
    NO_ID_LEFT = 2
    INCOMPATIBLE = 3


@declared(
    Record(
        "reason" / Choice(DieReason) * "why",
        "text" / Text * "the reason for people",
    )
)
@dataclass(frozen=True, slots=True)
class Die(Message):
    """A newcomer is refused for good. Who is a member already ignores it."""

    KIND: ClassVar = Kind.DIE
    reason: DieReason
    text: str


@declared(Record("text" / Text * "why, for people; may be empty"))
@dataclass(frozen=True, slots=True)
class Bye(Message):
    """The sender leaves in good order."""

    KIND: ClassVar = Kind.BYE
    text: str


@declared(
    Record(
        "records"
        / Listed(
            Row(
                "name" / Name * "the node that is meant",
                "banned" / Flag * "whether nothing of it is to be believed, or again",
                "stamp" / Int64ub * "logical time at which this was said",
                "by" / Name * "the node on which it was said",
            )
        )
        * "of two about one name the one with the greater stamp holds, then the greater `by`"
    )
)
@dataclass(frozen=True, slots=True)
class Ban(Message):
    """Who is banned, and whose ban is lifted: said to all, and to each node that one meets."""

    KIND: ClassVar = Kind.BAN
    records: tuple[tuple[str, bool, int, str], ...]


@declared(
    Record("base" / Int48ub * "from this place of the sender's broadcast stream on, it owes messages to the receiver")
)
@dataclass(frozen=True, slots=True)
class Base(Message):
    """The sender's broadcast stream went on between its register and the answer: what came before this is not owed.

    Claims of the sender that the receiver knows are void: those that stand are told again from this place on.
    """

    KIND: ClassVar = Kind.BASE
    base: int
