"""What the desks of one node share: the cluster, the trees, the effects to be carried out, the counters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from random import Random

from l2sync.cluster import Cluster, Peer, PeerState, SelfState
from l2sync.frames import TreeState

from .api import Effect, NodeSettings, Notify
from .tree import SharedTree


class TreeReadiness(IntEnum):
    """How a tree stands at its node, as pings tell it."""

    READY = 0
    PAUSED = 1
    SCANNING = 2
    HELD = 3
    """Paused until a user decides on what would go from it; everybody else pauses it too."""


@dataclass(slots=True)
class Context:
    """Shared state of one node; nothing here acts by itself."""

    name: str
    cluster: Cluster
    trees: dict[str, SharedTree]
    settings: NodeSettings
    rng: Random
    effects: list[Effect] = field(default_factory=list)
    counters: Counter[str] = field(default_factory=Counter)
    wall: int | None = None
    """The time of day in seconds since 1970, as told last."""
    timed_at: int = 0
    """When time was last handed in: deadlines count from here, so that asking for them does not move them."""
    _acquainted: bool = False
    by_tag: dict[int, SharedTree] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.by_tag = {shared.tag: shared for shared in self.trees.values()}

    def emit(self, effect: Effect) -> None:
        self.effects.append(effect)

    def notify(self, event: str, level: str = "info", **fields: object) -> None:
        self.effects.append(Notify(event, level, fields))

    def name_of(self, peer: int) -> str:
        known = self.cluster.peers.get(peer)
        return known.name if known is not None else f"node {peer}"

    def online(self) -> Iterator[Peer]:
        return (peer for peer in self.cluster.peers.values() if peer.state is PeerState.ONLINE)

    def acquainted(self) -> bool:
        """Whether every node that was here when this one came has told its trees: one might be this one's original."""
        if not self._acquainted and self.cluster.membership.state is SelfState.MEMBER:
            peers = list(self.online())
            self._acquainted = bool(peers) and all(peer.pinged for peer in peers)
        return self._acquainted

    def sharing(self, shared: SharedTree) -> Iterator[tuple[Peer, TreeState]]:
        """Online peers that have this tree too, with what they last said of it."""
        for peer in self.online():
            for state in peer.trees:
                if state.tree == shared.tag:
                    yield peer, state
