"""The message by which a node says what it holds back of a tree, and any node what is to become of it."""

from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar

from construct import Int32ub, Int64ub

from .declare import Choice, Message, Record, Text, declared
from .header import Kind


class Verdict(IntEnum):
    """What is to become of the changes that are held back."""

    ASKED = 0
    """Nothing yet: the sender holds them, and waits for a decision."""
    APPROVE = 1
    """They are meant: let them in everywhere."""
    RESTORE = 2
    """They are not: bring back what the others have."""


@declared(
    Record(
        "tree" / Int64ub * "which tree, a number made from its name",
        "verdict" / Choice(Verdict) * "0: the sender asks, 1: approve, 2: restore",
        "gone" / Int32ub * "entries that would go or fall back, if the sender asks",
        "of" / Int32ub * "of so many",
        "text" / Text * "which, for people",
    )
)
@dataclass(frozen=True, slots=True)
class Decision(Message):
    """To all: what the sender holds back, or a decision for all who hold back changes of this tree."""

    KIND: ClassVar = Kind.DECISION
    tree: int
    verdict: Verdict
    gone: int = 0
    of: int = 0
    text: str = ""
