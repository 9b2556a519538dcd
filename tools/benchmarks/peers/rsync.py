"""rsync: a daemon on each receiver, and the sender copying to all of them at once."""

from __future__ import annotations

import time
from pathlib import Path

from benchmarks.meters import Metered
from benchmarks.peers.base import COPYING, Peer, wait_for_port
from benchmarks.trees import Mark
from l2sync.cli.lab import Host

OPTIONS = ("-aHAX", "--delete")
_PORT = 873


class Rsync(Peer):
    """One process for each receiver, all in parallel."""

    name = "rsync"
    needs = (("rsync", "rsync"), ("ss", "iproute2"))
    about = ("rsync", "--version")
    scenarios = COPYING

    def prepare(self) -> None:
        self.daemons = start_daemons(self)

    def transfer(self, wanted: list[Mark], deadline: float) -> None:
        command = ["rsync", *OPTIONS, f"{self.source}/"]
        copies = [self.launch(self.hosts[0], [*command, address(host)]) for host, _ in self.receivers]
        self.must_succeed(copies, deadline)

    def conclude(self) -> None:
        for daemon in self.daemons:
            daemon.stop()


def address(host: Host) -> str:
    """How the sender names a receiver's tree."""
    return f"rsync://{host.address}/tree/"


def start_daemons(peer: Peer) -> list[Metered]:
    """A daemon on each receiver, listening."""
    daemons = []
    for host, tree in peer.receivers:
        configuration = _configure(peer.home(host), tree)
        daemons.append(peer.launch(host, ["rsync", "--daemon", "--no-detach", f"--config={configuration}"]))
    for host, _ in peer.receivers:
        wait_for_port(host, _PORT, time.monotonic() + 10.0)
    return daemons


def _configure(home: Path, tree: Path) -> Path:
    configuration = home / "rsyncd.conf"
    configuration.write_text(
        "use chroot = no\nmunge symlinks = no\nreverse lookup = no\nuid = root\ngid = root\n"
        f"[tree]\npath = {tree}\nread only = no\n"
    )
    return configuration
