"""The tools that are compared, each in a module of its own."""

from __future__ import annotations

from benchmarks.peers.base import Peer, Unable, Watcher
from benchmarks.peers.clsync import Clsync
from benchmarks.peers.csync2 import Csync2
from benchmarks.peers.l2sync import L2sync
from benchmarks.peers.lsyncd import Lsyncd
from benchmarks.peers.rsync import Rsync
from benchmarks.peers.syncthing import Syncthing
from benchmarks.peers.udpcast import Udpcast
from benchmarks.peers.uftp import Uftp, UftpTar
from benchmarks.peers.unison import Unison

PEERS: dict[str, type[Peer]] = {
    peer.name: peer for peer in (L2sync, Rsync, Udpcast, Uftp, UftpTar, Syncthing, Lsyncd, Csync2, Clsync, Unison)
}
"""By name, in the order in which they are run."""

__all__ = ["PEERS", "L2sync", "Peer", "Unable", "Watcher"]
