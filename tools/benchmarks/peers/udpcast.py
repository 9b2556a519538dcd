"""udpcast: one sender to all receivers by broadcast; trees go as a tar stream."""

from __future__ import annotations

import time

from benchmarks.peers.base import Peer
from benchmarks.trees import Mark


class Udpcast(Peer):
    """A receiver on each host, and one sender that waits for all of them."""

    name = "udpcast"
    needs = (("udp-sender", "udpcast"), ("udp-receiver", "udpcast"), ("tar", "tar"))
    about = ("dpkg-query", "-W", "udpcast")
    # It copies everything each time, so what asks for a difference would only measure the same again.
    scenarios = frozenset({"big", "tree", "slow", "loss", "receivers", "bare", "fair"})

    def prepare(self) -> None:
        receive = "udp-receiver --interface eth0 --nokbd --no-progress --ttl 1 2>/dev/null"
        self.waiting = []
        for host, tree in self.receivers:
            script = f"set -o pipefail; {receive} | tar -C '{tree}' -xpf - --numeric-owner"
            self.waiting.append(self.launch(host, ["bash", "-c", script]))
        time.sleep(0.5)  # they say hello at once, and the sender asks for more hellos

    def transfer(self, wanted: list[Mark], deadline: float) -> None:
        # No bit rate is set: the sender's queue holds it back, as it does the others.
        send = f"udp-sender --interface eth0 --nokbd --no-progress --full-duplex --min-receivers {len(self.receivers)}"
        send += f" --broadcast --blocksize {self.lab.mtu - 44} 2>/dev/null"  # IP, UDP and its own headers
        script = f"set -o pipefail; tar -C '{self.source}' --format=posix -cf - . | {send}"
        sender = self.launch(self.hosts[0], ["bash", "-c", script])
        self.must_succeed([sender, *self.waiting], deadline)
