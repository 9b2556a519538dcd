"""Who is here, what they were told, what they answered, what they hold: one machine without I/O."""

from .bans import BanList, BanRecord
from .core import Cluster
from .hub import (
    BansChanged,
    Claimed,
    Delivered,
    Event,
    FrameSizeChanged,
    Granted,
    Joined,
    Misbehaved,
    OutFrame,
    Peer,
    PeerOffline,
    PeerOnline,
    PeerPinged,
    PeerState,
    Refused,
    RegistryChanged,
    Released,
    Warned,
    WayChanged,
)
from .locks import Claim, LockTable
from .membership import TRANSITIONS, SelfState
from .settings import ClusterSettings
from .ways import Way

__all__ = [
    "TRANSITIONS",
    "BanList",
    "BanRecord",
    "BansChanged",
    "Claim",
    "Claimed",
    "Cluster",
    "ClusterSettings",
    "Delivered",
    "Event",
    "FrameSizeChanged",
    "Granted",
    "Joined",
    "LockTable",
    "Misbehaved",
    "OutFrame",
    "Peer",
    "PeerOffline",
    "PeerOnline",
    "PeerPinged",
    "PeerState",
    "Refused",
    "RegistryChanged",
    "Released",
    "SelfState",
    "Warned",
    "Way",
    "WayChanged",
]
