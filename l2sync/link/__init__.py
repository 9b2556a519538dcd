"""The Ethernet socket, and the simulated segment that tests use; both carry payloads and promise nothing."""

from l2sync.link.base import BROADCAST, FrameTooLong, Link, LinkDown, LinkError, LinkStatistics, Received
from l2sync.link.packet import PacketLink
from l2sync.link.simulated import Delivery, Rules, SimulatedLink, SimulatedSegment

__all__ = [
    "BROADCAST",
    "Delivery",
    "FrameTooLong",
    "Link",
    "LinkDown",
    "LinkError",
    "LinkStatistics",
    "PacketLink",
    "Received",
    "Rules",
    "SimulatedLink",
    "SimulatedSegment",
]
