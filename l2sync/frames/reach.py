"""The messages by which nodes find out what the segment lets through, and go around what it does not."""

from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar

from construct import ExprValidator, GreedyBytes, Int8ub, Int16ub, Int32ub

from .declare import Choice, Int48ub, Listed, Message, Record, Row, declared
from .header import Kind


class Lane(IntEnum):
    """Where a probe was sent."""

    UNICAST = 0
    BROADCAST = 1
    MULTICAST = 2


class Asking(IntEnum):
    """What the sender of a probe wants to hear."""

    NOTHING = 0
    TALLY = 1
    ALIVE = 2
    SIZE = 3


@declared(
    Record(
        "number" / Int32ub * "of the trial, counted by the sender in its session; its probes all have it",
        "lane" / Choice(Lane) * "where it was sent",
        "asking"
        / Choice(Asking)
        * "what for: a tally at once; the same, because nothing that was sent to all came; the size, in a word to all",
        "padding" / GreedyBytes * "zeros: what counts is whether a frame of this size arrives",
    )
)
@dataclass(frozen=True, slots=True)
class Probe(Message):
    """A frame that is sent to see whether it arrives."""

    KIND: ClassVar = Kind.PROBE
    number: int
    lane: Lane
    asking: Asking
    padding: bytes = b""


@declared(
    Record(
        "sizes"
        / Listed(
            Row(
                "session" / Int32ub * "last 32 bits of the session that probed",
                "number" / Int32ub * "of the trial",
                "largest" / Int16ub * "bytes of the largest of its probes, from its header to its tag",
            )
        )
        * "what arrived"
    )
)
@dataclass(frozen=True, slots=True)
class Probed(Message):
    """What arrived of probes of many nodes: one frame answers all of them."""

    KIND: ClassVar = Kind.PROBED
    sizes: tuple[tuple[int, int, int], ...]


@declared(
    Record(
        "number" / Int32ub * "of the trial",
        "heard" / Int48ub * "how many frames to all have arrived of the addressed node's session, without its probes",
        "largest" / Int16ub * "bytes of the largest probe of this trial, from its header to its tag",
        "unicast" / Int16ub * "how many of its probes to this node alone have arrived",
        "broadcast" / Int16ub * "how many of its broadcast probes",
        "multicast" / Int16ub * "how many of its probes to the group",
    )
)
@dataclass(frozen=True, slots=True)
class Tally(Message):
    """What has arrived of one node's frames, told to it alone."""

    KIND: ClassVar = Kind.TALLY
    number: int
    heard: int
    largest: int
    unicast: int = 0
    broadcast: int = 0
    multicast: int = 0


@declared(
    Record("next" / Int16ub * "the node to hand the sender's frames to all on to, as they are; 0xFFFF: hand on nothing")
)
@dataclass(frozen=True, slots=True)
class Chain(Message):
    """The sender's frames to all go from node to node: where they go from here."""

    KIND: ClassVar = Kind.CHAIN
    next: int


MOST_PARTS = 64


@declared(
    Record(
        "kind" / Int8ub * "what the whole frame is",
        "serial" / Int48ub * "serial of the whole frame, lower than that of any of its parts",
        "index" / Int8ub * "which part this is, from 0",
        "count" / ExprValidator(Int8ub, lambda n, _: 2 <= n <= MOST_PARTS) * "how many parts there are, 2 to 64",
        "content" / GreedyBytes * "of the whole frame's plaintext",
    )
)
@dataclass(frozen=True, slots=True)
class Part(Message):
    """A part of a frame that was made for larger frames than get through now."""

    KIND: ClassVar = Kind.PART
    kind: int
    serial: int
    index: int
    count: int
    content: bytes
