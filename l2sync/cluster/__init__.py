"""Who is here, what they were told, what they answered, what they hold: one machine without I/O."""

from .core import Cluster
from .hub import (
    Claimed,
    Delivered,
    Event,
    Granted,
    Joined,
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
)
from .locks import Claim, LockTable
from .membership import TRANSITIONS, SelfState
from .settings import ClusterSettings

__all__ = [
    "TRANSITIONS",
    "Claim",
    "Claimed",
    "Cluster",
    "ClusterSettings",
    "Delivered",
    "Event",
    "Granted",
    "Joined",
    "LockTable",
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
]
