"""unison: a server on each receiver, and a client for each of them on the sender, all in parallel."""

from __future__ import annotations

import os
import time
from pathlib import Path

from benchmarks.peers.base import COPYING, Peer, wait_for_port
from benchmarks.trees import Mark, Strictness
from l2sync.cli.lab import Host

_PORT = 7777
_PREFERENCES = ("-batch", "-auto", "-times", "-owner", "-group", "-numericids", "-perms", "-1", "-confirmbigdel=false")


class Unison(Peer):
    """Plain sockets, without ssh; an archive for each pair, as its manual has it."""

    name = "unison"
    needs = (("unison", "unison"), ("ss", "iproute2"))
    about = ("unison", "-version")
    scenarios = COPYING
    strictness = Strictness(folder_times=False)

    def prepare(self) -> None:
        self.servers = []
        time.sleep(1.1)  # it tells changes by whole seconds: one in the second of the last run would be missed
        for host, _ in self.receivers:
            environment = _environment(self.home(host) / "archives", host)
            self.servers.append(self.launch(host, ["unison", "-socket", str(_PORT)], env=environment))
        for host, _ in self.receivers:
            wait_for_port(host, _PORT, time.monotonic() + 10.0)

    def transfer(self, wanted: list[Mark], deadline: float) -> None:
        clients = []
        for host, tree in self.receivers:
            sender = self.hosts[0]
            environment = _environment(self.home(sender) / f"archives{host.number}", sender)
            command = ["unison", self.source, f"socket://{host.address}:{_PORT}/{tree}", *_PREFERENCES]
            command += ["-force", str(self.source)]  # one direction, as with the others
            clients.append(self.launch(sender, command, env=environment))
        self.must_succeed(clients, deadline)

    def conclude(self) -> None:
        for server in self.servers:
            server.stop()


def _environment(archives: Path, host: Host) -> dict[str, str]:
    # A name for each host, since all hosts of the lab share the machine's and the archives are named after it.
    return {**os.environ, "UNISON": str(archives), "UNISONLOCALHOSTNAME": f"host{host.number}"}
