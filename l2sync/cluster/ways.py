"""By which way frames for all reach all."""

from __future__ import annotations

from enum import Enum

from l2sync.frames import Kind

JOINING = frozenset((Kind.HELLO, Kind.WELCOME, Kind.REGISTER, Kind.REJ, Kind.DIE, Kind.BYE))
"""Few, and meant for nodes of which nobody knows yet which way reaches them."""


class Way(Enum):
    """How one transmission reaches everybody."""

    BROADCAST = "broadcast"
    MULTICAST = "multicast"
